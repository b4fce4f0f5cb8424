import CSwanCUDA
package import SwanDiagnostics

/// NVRTC: CUDA C++ to machine code.
package final class Compiler: Sendable {
    private let table: SwanNvrtc
    /// The file and version.
    package let found: FoundLibrary

    /// Machine code, and what the compiler said about it.
    package struct Output: Sendable {
        /// The machine code of one architecture, or text (PTX) that the driver translates.
        package var code: [UInt8]
        /// Warnings, and the assembler's account of registers and spills.
        package var log: String
    }

    /// - Throws: `cuda.library-unavailable`.
    package init(_ search: LibrarySearch) throws(SwanError) {
        var table = SwanNvrtc()
        let path = try openFirst(.nvrtc, search) { path in
            swan_nvrtc_open(path, search.builtins(besideCompiler: path), &table).map { String(cString: $0) }
        }
        var major: Int32 = 0
        var minor: Int32 = 0
        _ = table.nvrtcVersion(&major, &minor)
        self.table = table
        found = FoundLibrary(library: .nvrtc, path: path, version: "\(major).\(minor)")
    }

    /// Compiles a kernel; takes from a tenth of a second to some seconds.
    ///
    /// - Parameter architecture: as `sm_90a` for machine code; as `compute_80` for text that has only that
    ///   generation's instructions and that the driver translates for any later one.
    /// - Throws: `cuda.kernel-failed` with the compiler's text.
    package func compile(_ kernel: KernelRequest, for architecture: String) throws(SwanError) -> Output {
        let sources = KernelSources.all
        guard let source = sources.text(kernel.fileName) else {
            throw SwanError(.cudaKernelFailed, "There is no kernel named '\(kernel.name)'.")
        }
        var program: OpaquePointer?
        let headers = sources.headers
        let created = withCStrings(headers.map(\.text)) { texts in
            withCStrings(headers.map(\.name)) { names in
                table.nvrtcCreateProgram(&program, source, kernel.fileName, Int32(headers.count), texts, names)
            }
        }
        try check(created, "nvrtcCreateProgram", kernel, log: "")
        defer { _ = table.nvrtcDestroyProgram(&program) }
        let options = kernel.options(for: architecture)
        let compiled = withCStrings(options) { table.nvrtcCompileProgram(program, Int32(options.count), $0) }
        let log = text {
            table.nvrtcGetProgramLogSize(program, &$0)
        } copy: {
            table.nvrtcGetProgramLog(program, $0)
        }
        try check(compiled, "nvrtcCompileProgram", kernel, log: log)

        let isText = architecture.hasPrefix("compute_")
        var size = 0
        try check(
            isText ? table.nvrtcGetPTXSize(program, &size) : table.nvrtcGetCUBINSize(program, &size),
            "nvrtcGetCUBINSize", kernel, log: log)
        var code = [CChar](repeating: 0, count: size)
        try check(
            isText ? table.nvrtcGetPTX(program, &code) : table.nvrtcGetCUBIN(program, &code), "nvrtcGetCUBIN", kernel,
            log: log)
        return Output(code: code.map { UInt8(bitPattern: $0) }, log: log)
    }

    private func text(_ size: (inout Int) -> Int32, copy: (UnsafeMutablePointer<CChar>?) -> Int32) -> String {
        var count = 0
        guard size(&count) == SWAN_NVRTC_SUCCESS, count > 1 else { return "" }
        var buffer = [CChar](repeating: 0, count: count)
        let copied = buffer.withUnsafeMutableBufferPointer { copy($0.baseAddress) }
        guard copied == SWAN_NVRTC_SUCCESS else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func check(_ result: Int32, _ function: String, _ kernel: KernelRequest, log: String) throws(SwanError) {
        guard result != SWAN_NVRTC_SUCCESS else { return }
        let reason = table.nvrtcGetErrorString(result).map { String(cString: $0) } ?? "error \(result)"
        throw SwanError(
            .cudaKernelFailed, "NVRTC \(found.version): \(function) of \(kernel) failed: \(reason).",
            advice: log.isEmpty ? "" : "The compiler says:\n\(log)")
    }
}

/// Gives `body` an array of C strings, valid while it runs.
private func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R) -> R {
    let bytes = strings.map { Array($0.utf8CString) }
    var all: [CChar] = []
    var starts: [Int] = []
    for string in bytes {
        starts.append(all.count)
        all += string
    }
    return all.withUnsafeBufferPointer { buffer in
        let pointers = starts.map { start in buffer.baseAddress.map { $0 + start } }
        return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}
