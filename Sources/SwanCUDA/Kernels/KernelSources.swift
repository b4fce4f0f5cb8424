import CSwanKernels

/// The text of the kernels that were built into the program.
package struct KernelSources: Sendable {
    /// One file.
    package struct File: Sendable {
        /// Its name, without a folder.
        package let name: String
        /// Its text.
        package let text: String

        /// Makes a file.
        package init(name: String, text: String) { (self.name, self.text) = (name, text) }
    }

    /// All files.
    package let files: [File]

    /// Makes a set of files.
    package init(files: [File]) { self.files = files }

    /// The program's own.
    package static let all: KernelSources = {
        var files: [File] = []
        while let source = swan_kernel_source_at(files.count) {
            files.append(File(name: String(cString: source.pointee.name), text: String(cString: source.pointee.text)))
        }
        return KernelSources(files: files)
    }()

    /// The text of a file.
    package func text(_ name: String) -> String? { files.first { $0.name == name }?.text }

    /// The files that kernels include.
    package var headers: [File] { files.filter { $0.name.hasSuffix(".cuh") } }

    /// The names of all kernels.
    package var kernels: [String] {
        files.compactMap { $0.name.hasSuffix(".cu") ? String($0.name.dropLast(3)) : nil }
    }
}
