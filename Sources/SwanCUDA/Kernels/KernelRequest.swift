/// A kernel and what its text is compiled with.
package struct KernelRequest: Sendable, Hashable, CustomStringConvertible {
    /// The entry point; its file has the same name.
    package let name: String
    /// Values of the text's names in capitals.
    package let defines: [String: String]

    /// - Parameter defines: numbers, or names of element types and functions.
    package init(_ name: String, _ defines: [String: any CustomStringConvertible & Sendable] = [:]) {
        self.name = name
        self.defines = defines.mapValues { String(describing: $0) }
    }

    var fileName: String { name + ".cu" }

    /// The compiler's options, in an order that depends on nothing but the request.
    package func options(for architecture: String) -> [String] {
        ["--gpu-architecture=\(architecture)", "--std=c++17"]
            + (architecture.hasPrefix("compute_") ? [] : ["--ptxas-options=-v"])
            + defines.sorted { $0.key < $1.key }.map { "-D\($0.key)=\($0.value)" }
    }

    /// The value as text.
    package var description: String {
        name + "(" + defines.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ") + ")"
    }
}

/// What the assembler says about a kernel, read from the compiler's log.
package struct KernelFacts: Sendable, Hashable {
    /// Registers of a thread.
    package var registers: Int
    /// Bytes that a thread writes to local memory because it has no register for them.
    package var spilledBytes: Int

    /// Reads `Used 48 registers` and `0 bytes spill stores`; nil when the log has no such lines.
    package init?(log: String) {
        func number(before words: String) -> Int? {
            guard let place = log.firstRange(of: words) else { return nil }
            let digits = log[..<place.lowerBound].reversed().prefix { $0.isNumber }.reversed()
            return Int(String(digits))
        }
        guard let registers = number(before: " registers"), let spilled = number(before: " bytes spill stores") else {
            return nil
        }
        (self.registers, spilledBytes) = (registers, spilled)
    }
}
