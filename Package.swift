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
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        library("SwanDiagnostics"),
        library("SwanTensor", ["SwanDiagnostics"]),
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
        library("SwanHub", ["SwanDiagnostics"]),
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
        library("SwanDoctor", ["SwanRuntime", "SwanCUDA", "SwanMedia", "SwanTensor", "SwanDiagnostics"]),
        library(
            "SwanBench",
            [
                "SwanPipeline", "SwanModels", "SwanNN", "SwanText", "SwanMedia", "SwanCheckpoint", "SwanTensor",
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
        tests(
            "SwanCheckpoint", ["SwanCheckpoint", "SwanTensor", "SwanDiagnostics"], resources: [.copy("Fixtures")]),
        tests(
            "SwanBench",
            [
                "SwanBench", "SwanPipeline", "SwanModels", "SwanText", "SwanCheckpoint", "SwanCPU", "SwanCUDA",
                "SwanTensor", "SwanDiagnostics",
            ]),
        // Depends on the program so that it is built; the tests start it.
        tests("SwanCommand", ["swan", "SwanTestSupport"]),
        tests("SwanCPU", ["SwanCPU", "SwanRuntime", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        // Kernels' text compiled for the host, with the GPU's instructions in plain C++.
        .target(
            name: "CKernelEmulation", path: "Tests/CKernelEmulation",
            cxxSettings: [.headerSearchPath("."), .headerSearchPath("../../Sources/CSwanKernels/cuda")]),
        tests(
            "SwanCUDA", ["CKernelEmulation", "SwanCUDA", "SwanTensor", "SwanDiagnostics", "SwanTestSupport"]),
        tests("SwanDoctor", ["SwanDoctor", "SwanDiagnostics"]),
        tests("SwanHub", ["SwanHub", "SwanDiagnostics"]),
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
