import Glibc
package import SwanCUDA
public import SwanDiagnostics
package import SwanHub
import Synchronization

extension Doctor {
    /// Fetches those of NVIDIA's libraries that are missing here, into Swan's own folder.
    ///
    /// Nothing is installed for others, and nothing that is there is changed. A driver cannot be fetched: without one an
    /// error says which is needed.
    ///
    /// - Parameters:
    ///   - variables: the process' environment.
    ///   - cuda: the CUDA version of a driver that is not here, as `13.0`, to prepare a disk image; nil for the driver of
    ///     this machine.
    ///   - userAgent: how servers are told who asks.
    ///   - isCancelled: asked several times a second.
    ///   - report: what is done, a line each, and how far a download is; the latter replaces the one before.
    /// - Returns: the folder, and the files that were put there.
    /// - Throws: `doctor.no-driver`, `doctor.no-package`, and what the registry's errors are.
    public static func fix(
        variables: [String: String], cuda: String?, userAgent: String,
        isCancelled: @escaping @Sendable () -> Bool,
        report: @escaping @Sendable (_ text: String, _ isFinal: Bool) -> Void
    ) async throws(SwanError) -> (folder: String, files: [String]) {
        let search = LibrarySearch.thisProcess(variables: variables)
        let survey = DeviceSurvey(search)
        let driver = try driverVersion(
            survey.found.first { $0.library == .driver }?.version, cuda, cards: PCIDevices.nvidia())
        guard let folder = search.ownFolder else {
            throw SwanError(
                .noPlace, "The environment names no folder for libraries.", advice: "Set XDG_DATA_HOME or HOME.")
        }
        let cache =
            variables["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
            ?? (variables["HOME"] ?? "") + "/.cache"
        let packages = LibraryPackages(driver: driver)
        let registry = PythonRegistry(try RegistrySettings(variables: variables), userAgent: userAgent)
        var files: [String] = []
        for library in wanted(survey) {
            guard let project = packages.project(library) else {
                throw SwanError(
                    .noPackage, "There is no package of \(library.title) for CUDA \(text(driver)).",
                    advice: driverAdvice)
            }
            let all = try await registry.wheels(of: project, isCancelled: isCancelled)
            guard let wheel = packages.newest(library, of: all) else {
                throw SwanError(
                    .noPackage,
                    "None of the \(all.count) packages of \(project) runs here (\(packages.machine), C library"
                        + " \(text(packages.glibc)), driver for CUDA \(text(driver))).",
                    advice: "Install \(library.title) from NVIDIA's own packages.")
            }
            files += try await install(
                library, wheel, registry, from: cache + "/swan/wheels", to: folder, isCancelled, report)
        }
        return (folder, files)
    }

    /// Libraries that are missing, and a cuDNN that is too old for its fast attention.
    private static func wanted(_ survey: DeviceSurvey) -> [DeviceLibrary] {
        DeviceLibrary.allCases.filter { library in
            guard library != .driver else { return false }
            guard let found = survey.found.first(where: { $0.library == library }) else { return true }
            return library == .cudnn && numbers(found.version).lexicographicallyPrecedes([9, 13, 1])
        }
    }

    private static func install(
        _ library: DeviceLibrary, _ wheel: Wheel, _ registry: PythonRegistry, from cache: String, to folder: String,
        _ isCancelled: @escaping @Sendable () -> Bool, _ report: @escaping @Sendable (String, Bool) -> Void
    ) async throws(SwanError) -> [String] {
        report("Fetching \(library.title) \(wheel.versionText): \(wheel.name)", true)
        let path = try await registry.fetch(
            wheel, into: cache,
            progress: { done, of in
                report("\(library.title): \(formatted(bytes: done)) of \(formatted(bytes: of))", false)
            }, isCancelled: isCancelled)
        let files: [String]
        do throws(SwanError) {
            files = try unpack(library, wheel, at: path, to: folder, isCancelled, report)
        } catch {
            // It would be taken for whole again.
            if error.code == .badAnswer { unlink(path) }
            throw error
        }
        unlink(path)
        unlink(path + ".lock")
        report("\(library.title) \(wheel.versionText): \(files.count) files in \(folder.printable())", true)
        return files
    }

    /// Puts a package's libraries into a folder: all of them, or none.
    ///
    /// - Returns: the files.
    package static func unpack(
        _ library: DeviceLibrary, _ wheel: Wheel, at path: String, to folder: String, _ isCancelled: () -> Bool,
        _ report: (String, Bool) -> Void
    ) throws(SwanError) -> [String] {
        let archive = try ZipArchive(path)
        func name(_ entry: ZipArchive.Entry) -> String { entry.path.split(separator: "/").last.map(String.init) ?? "" }
        func isMain(_ entry: ZipArchive.Entry) -> Bool { library.fileNames.contains(name(entry)) }
        let entries = archive.entries.filter { LibraryPackages.isNeeded($0.path, for: library) }
        guard entries.contains(where: isMain) else {
            throw SwanError(
                .noPackage, "\(wheel.name) does not hold \(library.title).",
                advice: "Install \(library.title) from NVIDIA's own packages.")
        }
        // The whole version stands in the file's name, as in NVIDIA's own packages: the search tells by it which of
        // several is the newest. The short name is a link.
        let version = library == .cudnn ? wheel.version.dropFirst().map { ".\($0)" }.joined() : ""
        // By the main file it is found, so that this comes last.
        let ordered = entries.filter { !isMain($0) } + entries.filter(isMain)
        try archive.unpack(
            ordered.map { (entry: $0, name: isMain($0) ? name($0) + version : name($0)) }, into: folder,
            isCancelled: isCancelled
        ) { entry in
            report("Unpacking \(name(entry)), \(formatted(bytes: entry.size))", false)
        }
        if !version.isEmpty {
            for entry in entries.filter(isMain) {
                try FileLinks.replace("\(folder)/\(name(entry))", with: name(entry) + version)
            }
        }
        return ordered.map { "\(folder)/\(name($0))" }
    }

    // MARK: The driver

    /// The CUDA version to fetch libraries for.
    ///
    /// - Parameters:
    ///   - driver: that of the driver here; nil without one.
    ///   - cuda: that of another driver; nil for the one here.
    ///   - cards: NVIDIA's cards that the system sees.
    /// - Throws: `doctor.no-driver`, `doctor.bad-version`.
    package static func driverVersion(
        _ driver: String?, _ cuda: String?, cards: [String]
    ) throws(SwanError) -> [Int] {
        if let cuda {
            let version = numbers(cuda)
            guard version.count == 2, version[0] >= 12 else {
                throw SwanError(
                    .badVersion, "'\(cuda.printable())' is no version of CUDA that Swan can use.",
                    advice: "Write it as 12.8 or 13.0.")
            }
            return version
        }
        if let driver { return numbers(driver) }
        throw SwanError(
            .noDriver,
            cards.isEmpty
                ? "There is no NVIDIA driver here, and no NVIDIA GPU is seen either: there is nothing to fetch."
                : "There is an NVIDIA GPU (\(cards.joined(separator: ", "))) and no driver for it.",
            advice: (cards.isEmpty ? "Swan computes on the processor. With a GPU: " : "") + driverAdvice)
    }

    /// Source: NVIDIA's CUDA release notes, "CUDA Toolkit and Minimum Required Driver Version".
    static let driverAdvice =
        "NVIDIA's driver 580 or later (CUDA 13) is needed, 525 or later (CUDA 12) at the least. It comes with the"
        + " distribution (Debian: nvidia-driver, Ubuntu: ubuntu-drivers install) or from nvidia.com; it needs a restart."
        + " In a container the host's driver is used: start it with --gpus all."

    static func numbers(_ text: String) -> [Int] {
        text.split { !("0" ... "9").contains($0) }.compactMap { Int($0) }
    }

    private static func text(_ version: [Int]) -> String { version.map(String.init).joined(separator: ".") }
}

extension SwanError.Code {
    /// There is no driver, and so nothing that libraries could be fetched for.
    public static let noDriver = Self("doctor.no-driver", .unavailable)
    /// No package has what is needed.
    public static let noPackage = Self("doctor.no-package", .unavailable)
    /// The environment names no folder.
    public static let noPlace = Self("doctor.no-place", .usage)
    /// A version cannot be understood.
    public static let badVersion = Self("doctor.bad-version", .usage)
}

/// Links between files of one folder.
private enum FileLinks {
    /// Makes a link, in place of what is there.
    static func replace(_ path: String, with name: String) throws(SwanError) {
        let temporary = "\(path).\(getpid()).link"
        unlink(temporary)
        guard symlink(name, temporary) == 0, rename(temporary, path) == 0 else {
            throw SwanError(
                .noPlace, "\(path.printable()) cannot be written.", advice: "Set XDG_DATA_HOME to a folder of yours.",
                cause: SystemError("symlink"))
        }
    }
}

/// NVIDIA's cards as the system sees them, with a driver or without.
package enum PCIDevices {
    /// Addresses of display devices of NVIDIA.
    ///
    /// - Parameter root: the folder of the system's devices; a test gives its own.
    package static func nvidia(root: String = "/sys/bus/pci/devices") -> [String] {
        guard let stream = opendir(root) else { return [] }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let folder = "\(root)/\(name)"
            // Class 3: VGA, 3D and other display controllers.
            if !name.hasPrefix("."), contents(folder + "/vendor").hasPrefix("0x10de"),
                contents(folder + "/class").hasPrefix("0x03")
            {
                found.append(name)
            }
        }
        return found.sorted()
    }
}
