import CSwanSystem
import Glibc
package import SwanCUDA
package import SwanHub

/// Which of NVIDIA's packages in the Python registry bring a library, in which version.
package struct LibraryPackages: Sendable {
    /// The CUDA version that the driver supports, `[13, 0]`.
    package let driver: [Int]
    /// `x86_64`, `aarch64`.
    package let machine: String
    /// The version of the C library, `[2, 36]`.
    package let glibc: [Int]

    /// Describes a system.
    package init(driver: [Int], machine: String, glibc: [Int]) {
        (self.driver, self.machine, self.glibc) = (driver, machine, glibc)
    }

    /// This system with a driver.
    package init(driver: [Int]) {
        var name = utsname()
        uname(&name)
        let machine = withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let version = swan_libc_version().map { String(cString: $0) } ?? ""
        self.init(driver: driver, machine: machine, glibc: version.split(separator: ".").compactMap { Int($0) })
    }

    /// The project that brings a library for this driver; nil where there is none: the driver itself, and anything for
    /// CUDA 11 and before.
    package func project(_ library: DeviceLibrary) -> String? {
        guard let major = driver.first, major >= 12 else { return nil }
        // From CUDA 13 on only cuDNN's name tells the version.
        return switch library {
        case .driver: nil
        case .nvrtc: major >= 13 ? "nvidia-cuda-nvrtc" : "nvidia-cuda-nvrtc-cu12"
        case .cublasLt: major >= 13 ? "nvidia-cublas" : "nvidia-cublas-cu12"
        case .cudnn: major >= 13 ? "nvidia-cudnn-cu13" : "nvidia-cudnn-cu12"
        }
    }

    /// The newest wheel that runs here and fits the driver.
    ///
    /// NVRTC's and cuBLAS' versions follow CUDA's, and one that is newer than the driver may make code that it
    /// does not load. cuDNN 9 is made for all drivers of its CUDA version.
    package func newest(_ library: DeviceLibrary, of wheels: [Wheel]) -> Wheel? {
        // Versions of CUDA that are not known yet load what was made for 13.
        let driver = (driver.first ?? 0) > 13 ? [13, Int.max] : driver
        return wheels.filter { wheel in
            guard wheel.runs(machine: machine, glibc: glibc) else { return false }
            if library == .cudnn { return wheel.version[0] == 9 }
            return wheel.version[0] == driver[0]
                && !driver.lexicographicallyPrecedes(Array(wheel.version.prefix(2)))
        }.max { $0.version.lexicographicallyPrecedes($1.version) }
    }

    /// Whether a file of a package is needed, by its path in it.
    package static func isNeeded(_ path: String, for library: DeviceLibrary) -> Bool {
        let parts = path.split(separator: "/")
        guard parts.count > 2, parts.first == "nvidia", parts[parts.count - 2] == "lib", let name = parts.last else {
            return false
        }
        let beginnings =
            switch library {
            case .driver: [String]()
            case .nvrtc: ["libnvrtc.so.", "libnvrtc-builtins.so."]
            case .cublasLt: ["libcublasLt.so.", "libcublas.so."]
            case .cudnn: ["libcudnn"]
            }
        return beginnings.contains(where: name.hasPrefix) && name.contains(".so.")
    }
}
