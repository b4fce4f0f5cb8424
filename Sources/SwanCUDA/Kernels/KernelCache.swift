package import SwanDiagnostics

/// Machine code of kernels: from this process, from disk, or compiled.
package final class KernelCache {
    private let disk: BlobCache
    private let compilerVersion: String
    private let architecture: String
    private let compile: (KernelRequest) throws(SwanError) -> [UInt8]
    private let sources: KernelSources
    /// Kernels that were compiled because no cache had them.
    package private(set) var compilations = 0

    /// - Parameters:
    ///   - compile: makes the code that is not there yet.
    package init(
        disk: BlobCache, compilerVersion: String, architecture: String, sources: KernelSources = .all,
        compile: @escaping (KernelRequest) throws(SwanError) -> [UInt8]
    ) {
        (self.disk, self.compilerVersion, self.architecture) = (disk, compilerVersion, architecture)
        (self.sources, self.compile) = (sources, compile)
    }

    /// Everything that the code depends on: text, included text, defines and options, architecture, compiler.
    package func key(_ kernel: KernelRequest) -> String {
        var text = sources.text(kernel.fileName) ?? ""
        for header in sources.headers { text += "\0" + header.name + "\0" + header.text }
        let bytes = Array(text.utf8)
        return
            ([kernel.name, compilerVersion] + kernel.options(for: architecture)
            + [hexadecimal(hash(bytes, 0)), hexadecimal(hash(bytes, 1))]).joined(separator: "\n")
    }

    /// The code of a kernel.
    package func cubin(_ kernel: KernelRequest) throws(SwanError) -> [UInt8] {
        let key = key(kernel)
        if let code = disk.load(key) { return code }
        compilations += 1
        let code = try compile(kernel)
        disk.store(key, code)
        return code
    }

    /// Makes a kernel whose kept code the driver refused anew.
    package func rebuilt(_ kernel: KernelRequest) throws(SwanError) -> [UInt8] {
        disk.remove(key(kernel))
        return try cubin(kernel)
    }
}
