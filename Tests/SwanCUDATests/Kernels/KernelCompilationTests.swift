import Foundation
import SwanCUDA
import SwanTestSupport
import Testing

/// The compiler that `Scripts/fetch-nvrtc` fetched.
enum FetchedCompiler {
    static let folder = Fixture.root + "/../../.build/nvrtc"
    /// Set where the tests may not be skipped.
    static let isRequired = ProcessInfo.processInfo.environment["SWAN_REQUIRE_NVRTC"] != nil

    /// A search that sees nothing but that folder; CUDA toolkits of the machine are left aside, so that every machine
    /// tests the same version.
    static let search = LibrarySearch(variables: ["VIRTUAL_ENV": folder], programFolder: nil) { path in
        path.hasPrefix(folder) ? (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] : []
    }

    static var isThere: Bool { search.candidates(for: .nvrtc).contains { $0.hasPrefix("/") } }
}

@Suite("Kernels compile")
struct KernelCompilationTests {
    /// Results are kept, by everything that they depend on: an unchanged kernel is compiled once.
    static let results = BlobCache(folder: FetchedCompiler.folder + "/results")

    @Test("every kernel has an example, and every example a kernel")
    func coverage() throws {
        let kernels = Set(KernelSources.all.kernels)
        #expect(Set(try KernelPlan.examples().map(\.request.name)) == kernels)
        #expect(
            KernelSources.all.headers.map(\.name) == [
                "swan_intrinsics.cuh", "swan_device.cuh", "swan_hopper.cuh", "attention_sm90.cuh",
                "attention_int8_rows.cuh", "attention_int8_weights.cuh",
                "row_norm.cuh",
            ])
        for kernel in kernels {
            let text = try #require(KernelSources.all.text(kernel + ".cu"))
            #expect(text.hasPrefix("// \(kernel): "))
            #expect(
                text.contains(" \(kernel)(") || text.contains("\n\(kernel)("),
                "\(kernel) has no entry point of its name")
            for section in ["// Launch ", "// Traffic "] { #expect(text.contains(section), "\(kernel): \(section)") }
        }
    }

    @Test(
        "for every architecture, without spilled registers",
        .enabled(
            if: FetchedCompiler.isThere || FetchedCompiler.isRequired,
            "NVIDIA's kernel compiler is not there: Scripts/fetch-nvrtc fetches it."),
        arguments: KernelPlan.architectures)
    func everyArchitecture(architecture: String) throws {
        try #require(FetchedCompiler.isThere, "Scripts/fetch-nvrtc could not fetch the compiler")
        // The whole compiler is opened only when something has changed.
        var compiler: Compiler?
        let keys = KernelCache(
            disk: Self.results, compilerVersion: "13.0.88", architecture: architecture, compile: { _ in [] })
        for plan in try KernelPlan.examples() where (plan.onlyArchitecture ?? architecture) == architecture {
            let key = keys.key(plan.request) + "\nspills"
            let log: String
            if let kept = Self.results.load(key) {
                log = String(decoding: kept, as: UTF8.self)
            } else {
                let opened = try compiler ?? Compiler(FetchedCompiler.search)
                compiler = opened
                let output = try opened.compile(plan.request, for: architecture)
                #expect(output.code.starts(with: [0x7F] + Array("ELF".utf8)))
                log = output.log
                Self.results.store(key, Array(log.utf8))
            }
            let facts = try #require(KernelFacts(log: log), "\(plan.request): \(log)")
            #expect(facts.spilledBytes == 0, "\(plan.request) for \(architecture): \(facts)")
            #expect(facts.registers <= 255)
            #expect(!log.contains("warning"), "\(plan.request) for \(architecture): \(log)")
        }
    }

    @Test(
        "a kernel that does not compile gives the compiler's text",
        .enabled(
            if: FetchedCompiler.isThere || FetchedCompiler.isRequired,
            "NVIDIA's kernel compiler is not there: Scripts/fetch-nvrtc fetches it."))
    func failure() throws {
        let compiler = try Compiler(FetchedCompiler.search)
        #expect(compiler.found.version == "13.0")
        let broken = KernelRequest("convert", ["SOURCE": "float", "TARGET": "no_such_type", "VECTOR": 1])
        #expect {
            _ = try compiler.compile(broken, for: "sm_90a")
        } throws: { error in
            "\(error)".contains("no_such_type") && "\(error)".contains("convert.cu")
        }
    }
}
