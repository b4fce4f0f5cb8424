import FoundationEssentials

/// A package of the Python registry, by the name of its file.
package struct Wheel: Sendable, Hashable {
    /// The file's name, `nvidia_cublas-13.0.2.14-py3-none-manylinux_2_27_x86_64.whl`.
    package var name: String
    /// Where it is.
    var url: URL
    /// SHA-256 by the index.
    var sha256: String
    /// Its bytes, if the index says.
    var size: Int?
    /// The version's numbers, `[13, 0, 2, 14]`.
    package var version: [Int]
    /// The systems that it is for.
    private var platforms: [String]

    /// Takes what an index says of a file; nil for what is no wheel, has no SHA-256, or is a version to be tried out.
    init?(name: String, url: URL, sha256: String?, size: Int?) {
        guard name.hasSuffix(".whl"), let sha256, FileHash(digits: sha256) == .sha256(sha256.lowercased()) else {
            return nil
        }
        let parts = name.dropLast(4).split(separator: "-")
        guard parts.count >= 5, !name.contains("/") else { return nil }
        let numbers = parts[1].split(separator: ".").map { Int($0) }
        let version = numbers.compactMap(\.self)
        guard version.count == numbers.count, !version.isEmpty else { return nil }
        (self.name, self.url, self.sha256, self.size) = (name, url, sha256.lowercased(), size)
        self.version = version
        platforms = parts[parts.count - 1].split(separator: ".").map(String.init)
    }

    /// The version as people write it.
    package var versionText: String { version.map(String.init).joined(separator: ".") }

    /// Whether it runs on a Linux system.
    ///
    /// - Parameters:
    ///   - machine: `x86_64`, `aarch64`.
    ///   - glibc: the version of the C library, `[2, 36]`.
    package func runs(machine: String, glibc: [Int]) -> Bool {
        platforms.contains { platform in
            guard platform.hasSuffix("_" + machine) else { return false }
            let system = platform.dropLast(machine.count + 1)
            switch system {
            case "manylinux1": return !glibc.lexicographicallyPrecedes([2, 5])
            case "manylinux2010": return !glibc.lexicographicallyPrecedes([2, 12])
            case "manylinux2014": return !glibc.lexicographicallyPrecedes([2, 17])
            default:
                let numbers = system.split(separator: "_").dropFirst().compactMap { Int($0) }
                return system.hasPrefix("manylinux_") && numbers.count == 2 && !glibc.lexicographicallyPrecedes(numbers)
            }
        }
    }
}
