/// A library of NVIDIA that Swan opens when it is needed.
public enum DeviceLibrary: String, Sendable, CaseIterable, Codable {
    /// The driver: devices, memory, streams, launches.
    case driver
    /// The compiler of kernels.
    case nvrtc
    /// Matrix products.
    case cublasLt
    /// Attention and convolutions.
    case cudnn

    /// File names, newest interface first.
    public var fileNames: [String] {
        switch self {
        case .driver: ["libcuda.so.1"]
        case .nvrtc: ["libnvrtc.so.13", "libnvrtc.so.12"]
        case .cublasLt: ["libcublasLt.so.13", "libcublasLt.so.12"]
        case .cudnn: ["libcudnn.so.9"]
        }
    }

    /// Where a Python environment's `site-packages` has it: packages of CUDA 13, then of CUDA 12.
    var wheelFolders: [String] {
        switch self {
        case .driver: []
        case .nvrtc: ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"]
        case .cublasLt: ["nvidia/cu13/lib", "nvidia/cublas/lib"]
        case .cudnn: ["nvidia/cudnn/lib"]
        }
    }

    /// What it brings, as the end of a sentence that starts with "brings".
    public var purpose: String {
        switch self {
        case .driver: "the GPU itself"
        case .nvrtc: "the compiler of Swan's own kernels, without which no GPU can be used"
        case .cublasLt: "fast matrix products; without it they run on a plain kernel, many times slower"
        case .cudnn: "fast attention and convolutions; without it they run on Swan's own kernels, which are slower"
        }
    }
}

/// Where device libraries are looked for: a pure function of what it is given.
///
/// In this order: the folders in `SWAN_CUDA_LIBRARIES` (colons between them), `lib` beside the program, what the
/// system's loader finds by name (`LD_LIBRARY_PATH`, its cache), CUDA toolkits (`CUDA_HOME`,
/// `/usr/local/cuda*`), an active Python environment (`VIRTUAL_ENV`, `CONDA_PREFIX`), and Swan's own
/// folder, `lib` in `$XDG_DATA_HOME/swan` or `~/.local/share/swan`. Of cuDNN, whose versions bring faster kernels, the
/// newest of these places is taken, unless `SWAN_CUDA_LIBRARIES` names one.
public struct LibrarySearch: Sendable {
    private let variables: [String: String]
    private let programFolder: String?
    private let list: @Sendable (String) -> [String]

    /// - Parameters:
    ///   - variables: the process' environment.
    ///   - programFolder: the folder that the program lies in, if it is known.
    ///   - list: the names inside a folder; none for what is no folder.
    public init(
        variables: [String: String], programFolder: String?, list: @escaping @Sendable (String) -> [String]
    ) {
        self.variables = variables
        self.programFolder = programFolder
        self.list = list
    }

    /// A step of the search.
    private enum Place: Hashable {
        case folder(String)
        /// The name alone is given to the system's loader.
        case loader
    }

    private func value(_ name: String) -> String? {
        guard let value = variables[name], !value.isEmpty else { return nil }
        return value
    }

    /// Where Swan puts libraries that it fetches itself; nil where the environment names neither it nor a home.
    public var ownFolder: String? {
        (value("XDG_DATA_HOME") ?? value("HOME").map { $0 + "/.local/share" }).map { $0 + "/swan/lib" }
    }

    private func places(for library: DeviceLibrary) -> [Place] {
        var places: [Place] = (value("SWAN_CUDA_LIBRARIES") ?? "").split(separator: ":").map { .folder(String($0)) }
        if let programFolder { places.append(.folder(programFolder + "/lib")) }
        places.append(.loader)
        if let home = value("CUDA_HOME") { places.append(.folder(home + "/lib64")) }
        // Versions as numbers: cuda-13.0 before cuda-9.2; the bare name is what the machine's owner chose.
        let toolkits = list("/usr/local").filter { $0 == "cuda" || $0.hasPrefix("cuda-") }
        places += toolkits.sorted { a, b in
            a == "cuda" || (b != "cuda" && versionNumbers(b).lexicographicallyPrecedes(versionNumbers(a)))
        }.map { .folder("/usr/local/\($0)/lib64") }
        for root in [value("VIRTUAL_ENV"), value("CONDA_PREFIX")].compactMap({ $0 }) {
            for python in list(root + "/lib").filter({ $0.hasPrefix("python3") }).sorted() {
                places += library.wheelFolders.map { .folder("\(root)/lib/\(python)/site-packages/\($0)") }
            }
        }
        if let conda = value("CONDA_PREFIX") { places.append(.folder(conda + "/lib")) }
        if let ownFolder { places.append(.folder(ownFolder)) }
        var seen: Set<Place> = []
        return places.filter { seen.insert($0).inserted }
    }

    /// What to hand to the loader, in this order: paths of files that exist, and bare names where the system
    /// itself is asked.
    public func candidates(for library: DeviceLibrary) -> [String] {
        ordered(places(for: library), library).flatMap { place in
            switch place {
            case .loader: return library.fileNames
            case .folder(let folder):
                let names = Set(list(folder))
                return library.fileNames.filter(names.contains).map { folder + "/" + $0 }
            }
        }
    }

    /// The places in the order in which they are tried: as they are, but for cuDNN the newest version first.
    private func ordered(_ places: [Place], _ library: DeviceLibrary) -> [Place] {
        guard library == .cudnn else { return places }
        let named = value("SWAN_CUDA_LIBRARIES") == nil ? 0 : places.prefix { $0 != .loader }.count
        let versions = places.map { version(of: library, at: $0) ?? [] }
        let rest = places.indices.dropFirst(named).sorted { a, b in
            versions[a] == versions[b] ? a < b : versions[b].lexicographicallyPrecedes(versions[a])
        }
        return places.prefix(named) + rest.map { places[$0] }
    }

    /// The version of a library at a place, as far as names tell without opening it: two versions of cuDNN in one process
    /// would take each other's parts.
    private func version(of library: DeviceLibrary, at place: Place) -> [Int]? {
        let folders: [String] =
            switch place {
            case .folder(let folder): [folder]
            case .loader:
                (value("LD_LIBRARY_PATH") ?? "").split(separator: ":").map(String.init)
                    + ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
            }
        for folder in folders {
            let names = list(folder)
            guard let name = library.fileNames.first(where: names.contains) else { continue }
            // `libcudnn.so.9.13.1`, to which the short name is a link.
            let whole = names.filter { $0.hasPrefix(name + ".") }.map(versionNumbers)
            if let version = whole.max(by: { $0.lexicographicallyPrecedes($1) }) { return version }
            // `nvidia_cudnn_cu13-9.13.1.26.dist-info`, three folders above in a Python environment.
            let parts = folder.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count > 3 else { return nil }
            let notes = list(parts.dropLast(3).joined(separator: "/")).filter {
                $0.hasPrefix("nvidia_cudnn_cu") && $0.hasSuffix(".dist-info")
            }
            return notes.compactMap { $0.split(separator: "-").dropFirst().first.map { versionNumbers(String($0)) } }
                .max { $0.lexicographicallyPrecedes($1) }
        }
        return nil
    }

    /// The compiler's library of built-in functions that lies beside the compiler's own file; nil for a bare
    /// name, where the loader finds both.
    public func builtins(besideCompiler path: String) -> String? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        let folder = String(path[..<slash])
        let name = list(folder).filter { $0.hasPrefix("libnvrtc-builtins.so.") }.max {
            versionNumbers($0).lexicographicallyPrecedes(versionNumbers($1))
        }
        return name.map { folder + "/" + $0 }
    }

    /// The folders of the search, for messages.
    public func description(for library: DeviceLibrary) -> String {
        places(for: library).map { place in
            switch place {
            case .loader: "the system's libraries"
            case .folder(let folder): folder
            }
        }.joined(separator: ", ")
    }
}

/// The numbers in a name: `cuda-13.0` gives 13 and 0.
private func versionNumbers(_ name: String) -> [Int] {
    name.split { !("0" ... "9").contains($0) }.compactMap { Int($0) }
}
