// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is compiled in Swift 6 mode with the same upcoming features, so that borders
/// between targets show in the source: no implicit existentials, no leaking imports.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A Swift library target of this package.
func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// The tests of a target, in the folder that mirrors it.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name + "Tests", dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "swan",
    products: [
        .executable(name: "swan", targets: ["swan"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        // None of these brings more of Foundation than FoundationEssentials into the program.
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        library("SwanDiagnostics"),
        // Loops between stored element types and float32.
        .target(name: "CSwanFormats"),
        library("SwanTensor", ["CSwanFormats", "SwanDiagnostics"]),
        library("SwanCheckpoint", ["SwanTensor", "SwanDiagnostics"]),
        library("SwanNN", ["SwanCheckpoint", "SwanTensor", "SwanDiagnostics"]),
        library("SwanModels", ["SwanNN", "SwanCheckpoint", "SwanTensor", "SwanDiagnostics"]),
        library("SwanSampling", ["SwanTensor", "SwanDiagnostics"]),
        // C++ with a C header; the library has no C interface that could be opened at run time.
        .target(name: "CSwanSentencePiece", linkerSettings: [.linkedLibrary("sentencepiece")]),
        library("SwanText", ["CSwanSentencePiece", "SwanDiagnostics"]),
        library("SwanMedia", ["SwanDiagnostics"]),
        library(
            "SwanPipeline",
            [
                "SwanModels", "SwanNN", "SwanSampling", "SwanText", "SwanMedia", "SwanCheckpoint", "SwanTensor",
                "SwanDiagnostics",
            ]),
        // Linked statically, so that a program which is taken elsewhere needs no library for it.
        .target(name: "CSwanSQLite", linkerSettings: [.linkedLibrary(":libsqlite3.a")]),
        library(
            "SwanJobs",
            [
                "CSwanSQLite", "SwanPipeline", "SwanSampling", "SwanMedia", "SwanCheckpoint", "SwanTensor",
                "SwanDiagnostics",
            ]),
        // Calls of the system that Swift does not see.
        .target(name: "CSwanSystem", linkerSettings: [.linkedLibrary("z")]),
        library(
            "SwanHub",
            [
                "CSwanSystem", "SwanDiagnostics",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(name: "CSwanOneDNN"),
        .target(name: "CSwanCPUKernels"),
        library("SwanCPU", ["CSwanOneDNN", "CSwanCPUKernels", "SwanTensor", "SwanDiagnostics"]),
        // Tables of functions of NVIDIA's libraries, which are opened at run time; no toolkit is needed to build.
        .target(name: "CSwanCUDA"),
        // The kernels' text, embedded by kernels.c.
        .target(name: "CSwanKernels", exclude: ["cuda"]),
        library("SwanCUDA", ["CSwanCUDA", "CSwanKernels", "SwanTensor", "SwanDiagnostics"]),
        library("SwanRuntime", ["SwanCPU", "SwanCUDA", "SwanTensor", "SwanDiagnostics"]),
        library("SwanSelfTest", ["SwanRuntime", "SwanNN", "SwanTensor", "SwanDiagnostics"]),
        library(
            "SwanDoctor",
            ["CSwanSystem", "SwanHub", "SwanRuntime", "SwanCUDA", "SwanMedia", "SwanTensor", "SwanDiagnostics"]),
        library(
            "SwanBench",
            [
                "SwanPipeline", "SwanSampling", "SwanModels", "SwanNN", "SwanText", "SwanMedia", "SwanCheckpoint",
                "SwanTensor",
                "SwanDiagnostics",
            ]),
        .executableTarget(
            name: "swan",
            dependencies: [
                "SwanBench", "SwanDoctor", "SwanJobs", "SwanSelfTest", "SwanPipeline", "SwanSampling", "SwanModels",
                "SwanCheckpoint", "SwanHub", "SwanMedia", "SwanRuntime", "SwanTensor", "SwanDiagnostics",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),

        library("SwanTestSupport", ["SwanModels", "SwanCheckpoint", "SwanRuntime", "SwanTensor", "SwanDiagnostics"]),
        // A model hub on loopback.
        library(
            "SwanTestHub",
            [
                "CSwanSystem", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        tests(
            "SwanCheckpoint", ["SwanCheckpoint", "SwanTensor", "SwanDiagnostics"], resources: [.copy("Fixtures")]),
        tests(
            "SwanBench",
            [
                "SwanBench", "SwanPipeline", "SwanModels", "SwanText", "SwanCheckpoint", "SwanCPU", "SwanCUDA",
                "SwanTensor", "SwanDiagnostics", "SwanTestSupport",
            ]),
        // Depends on the program so that it is built; the tests start it.
        tests("SwanCommand", ["swan", "SwanTestHub", "SwanTestSupport"]),
        tests("SwanCPU", ["SwanCPU", "SwanRuntime", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        // Kernels' text compiled for the host, with the GPU's instructions in plain C++.
        .target(
            name: "CKernelEmulation", path: "Tests/CKernelEmulation",
            cxxSettings: [.headerSearchPath("."), .headerSearchPath("../../Sources/CSwanKernels/cuda")]),
        tests(
            "SwanCUDA", ["CKernelEmulation", "SwanCUDA", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests("SwanDoctor", ["SwanDoctor", "SwanHub", "SwanTestHub", "SwanCUDA", "SwanDiagnostics"]),
        tests("SwanHub", ["SwanHub", "SwanTestHub", "SwanDiagnostics"]),
        tests(
            "SwanJobs", ["SwanJobs", "SwanPipeline", "SwanMedia", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests("SwanMedia", ["SwanMedia", "SwanDiagnostics", "SwanTestSupport"]),
        tests(
            "SwanModels",
            ["SwanModels", "SwanNN", "SwanCheckpoint", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests(
            "SwanNN",
            ["SwanNN", "SwanModels", "SwanCheckpoint", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests(
            "SwanPipeline",
            [
                "SwanPipeline", "SwanModels", "SwanNN", "SwanMedia", "SwanSampling", "SwanCheckpoint", "SwanCPU",
                "SwanCUDA", "SwanTensor", "SwanDiagnostics", "SwanTestSupport",
            ]),
        tests("SwanSampling", ["SwanSampling", "SwanCheckpoint", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests("SwanSelfTest", ["SwanSelfTest", "SwanRuntime", "SwanTensor", "SwanDiagnostics"]),
        tests("SwanTensor", ["SwanCPU", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests("SwanText", ["SwanText", "SwanDiagnostics"]),
    ],
    cxxLanguageStandard: .cxx17)
