import SwanCUDA
import SwanDiagnostics
import Testing

@Suite("Search for device libraries")
struct LibrarySearchTests {
    static let files: [String: [String]] = [
        "/given": ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13.0"],
        "/opt/swan/lib": ["libcublasLt.so.12"],
        "/toolkit/lib64": ["libcublasLt.so.13"],
        "/usr/local": ["bin", "cuda-9.2", "cuda-13.0", "cuda-12.9", "cudart", "cuda"],
        "/usr/local/cuda/lib64": ["libnvrtc.so.12", "libnvrtc-builtins.so.12.8", "libnvrtc-builtins.so.12.10"],
        "/usr/local/cuda-13.0/lib64": ["libnvrtc.so.13"],
        "/usr/local/cuda-12.9/lib64": ["libnvrtc.so.12"],
        "/venv/lib": ["python3.11", "site.py"],
        "/venv/lib/python3.11/site-packages/nvidia/cu13/lib": ["libnvrtc.so.13", "libcublasLt.so.13"],
        "/venv/lib/python3.11/site-packages/nvidia/cudnn/lib": ["libcudnn.so.9"],
        "/conda/lib": ["libcudnn.so.9", "python3.12"],
        "/person/.local/share/swan/lib": ["libcudnn.so.9"],
    ]

    static func search(_ variables: [String: String], program: String? = "/opt/swan") -> LibrarySearch {
        LibrarySearch(variables: variables, programFolder: program) { files[$0] ?? [] }
    }

    @Test("places in their order, versions from the newest")
    func order() {
        let search = Self.search([
            "SWAN_CUDA_LIBRARIES": "/given:/also", "CUDA_HOME": "/toolkit", "VIRTUAL_ENV": "/venv",
            "CONDA_PREFIX": "/conda", "HOME": "/person",
        ])
        #expect(
            search.candidates(for: .nvrtc) == [
                "/given/libnvrtc.so.13", "/given/libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so.12",
                "/usr/local/cuda/lib64/libnvrtc.so.12", "/usr/local/cuda-13.0/lib64/libnvrtc.so.13",
                "/usr/local/cuda-12.9/lib64/libnvrtc.so.12",
                "/venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            ])
        #expect(
            search.candidates(for: .cublasLt) == [
                "/opt/swan/lib/libcublasLt.so.12", "libcublasLt.so.13", "libcublasLt.so.12",
                "/toolkit/lib64/libcublasLt.so.13",
                "/venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcublasLt.so.13",
            ])
        #expect(
            search.candidates(for: .cudnn) == [
                "libcudnn.so.9", "/venv/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
                "/conda/lib/libcudnn.so.9", "/person/.local/share/swan/lib/libcudnn.so.9",
            ])
        #expect(search.candidates(for: .driver) == ["libcuda.so.1"])
    }

    @Test("the newest cuDNN comes first, as far as names tell")
    func newest() {
        var files = [
            "/usr/lib/x86_64-linux-gnu": ["libcudnn.so.9", "libcudnn.so.9.1.0", "libcudnn_graph.so.9"],
            "/venv/lib": ["python3.11"],
            "/venv/lib/python3.11/site-packages": ["nvidia_cudnn_cu13-9.13.1.26.dist-info", "torch-2.8.dist-info"],
            "/venv/lib/python3.11/site-packages/nvidia/cudnn/lib": ["libcudnn.so.9"],
            "/person/.local/share/swan/lib": ["libcudnn.so.9", "libcudnn.so.9.9.0.52"],
            "/given": ["libcudnn.so.9"],
        ]
        func found(_ more: [String: String] = [:]) -> [String] {
            let files = files
            let variables = ["VIRTUAL_ENV": "/venv", "HOME": "/person"].merging(more) { $1 }
            return LibrarySearch(variables: variables, programFolder: nil) { files[$0] ?? [] }.candidates(for: .cudnn)
        }
        let environment = "/venv/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
        let own = "/person/.local/share/swan/lib/libcudnn.so.9"
        #expect(found() == [environment, own, "libcudnn.so.9"], "9.13, 9.9, 9.1")
        #expect(found(["SWAN_CUDA_LIBRARIES": "/given"]).first == "/given/libcudnn.so.9", "named by hand")
        files["/newer"] = ["libcudnn.so.9", "libcudnn.so.9.20.0"]
        #expect(found(["LD_LIBRARY_PATH": "/newer"]) == ["libcudnn.so.9", environment, own])
        files["/venv/lib/python3.11/site-packages"] = []
        #expect(found() == [own, "libcudnn.so.9", environment], "one of an unknown version comes last")
    }

    @Test("empty variables are none")
    func empty() {
        let search = Self.search(["VIRTUAL_ENV": "", "CUDA_HOME": "", "SWAN_CUDA_LIBRARIES": ""], program: nil)
        #expect(search.candidates(for: .cudnn) == ["libcudnn.so.9"])
        #expect(search.description(for: .cudnn).hasPrefix("the system's libraries, /usr/local/cuda/lib64"))
    }

    @Test("the data folder may be named")
    func dataFolder() {
        let search = LibrarySearch(variables: ["XDG_DATA_HOME": "/data", "HOME": "/person"], programFolder: nil) {
            $0 == "/data/swan/lib" ? ["libcudnn.so.9"] : []
        }
        #expect(search.candidates(for: .cudnn).last == "/data/swan/lib/libcudnn.so.9")
    }

    @Test("the compiler's built-in functions lie beside it")
    func builtins() {
        let search = Self.search([:])
        #expect(search.builtins(besideCompiler: "/given/libnvrtc.so.13") == "/given/libnvrtc-builtins.so.13.0")
        #expect(
            search.builtins(besideCompiler: "/usr/local/cuda/lib64/libnvrtc.so.12")
                == "/usr/local/cuda/lib64/libnvrtc-builtins.so.12.10")
        #expect(search.builtins(besideCompiler: "libnvrtc.so.13") == nil)
        #expect(search.builtins(besideCompiler: "/nowhere/libnvrtc.so.13") == nil)
    }

    @Test("the first that opens is taken; what is missing is said")
    func opening() throws {
        let search = Self.search(["CUDA_HOME": "/toolkit"])
        var tried: [String] = []
        let path = try openFirst(.cublasLt, search) { path in
            tried.append(path)
            return path.hasPrefix("/toolkit") ? nil : path
        }
        #expect(path == "/toolkit/lib64/libcublasLt.so.13")
        #expect(tried == search.candidates(for: .cublasLt))
        #expect {
            _ = try openFirst(.cublasLt, search) { $0 }
        } throws: { error in
            let error = error as? SwanError
            return error?.code == .cudaLibraryUnavailable
                && error?.message == "libcublasLt.so.13 or libcublasLt.so.12 was not found."
                && error?.advice.contains("/toolkit/lib64") == true
        }
        #expect {
            _ = try openFirst(.cublasLt, search) { $0.hasPrefix("/") ? "cublasLtCreate" : $0 }
        } throws: { error in
            (error as? SwanError)?.message.contains("libcublasLt.so.12 lacks 'cublasLtCreate'") == true
        }
    }
}
