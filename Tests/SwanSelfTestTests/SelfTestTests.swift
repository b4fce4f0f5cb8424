import SwanDiagnostics
import SwanRuntime
import SwanSelfTest
import SwanTensor
import Testing

@Suite("Self-test")
struct SelfTestTests {
    static let operations = [
        "copy", "linear", "activate", "geluGate", "quantizeRows", "layerNorm", "layerNormModulate", "rmsNorm",
        "rmsNormRope",
        "addGatedLayerNorm", "addLayerNormModulate", "addGated", "add", "modulation", "attention",
        "selfAttention", "distanceBias",
        "patchify", "unpatchify", "linearCombination", "channelsLast", "channelsFirst", "convolution", "upsample",
        "channelNorm", "normSiLU", "withHistory", "frameInterleave", "framesToRGB8",
    ]

    @Test("devices that are right pass", arguments: ["reference", "cpu"])
    func passes(device: String) throws {
        var seen: [SelfTestReport.Line] = []
        let report = try SelfTest.run(Runtime.open(device), runs: 1) { seen.append($0) }
        for line in report.lines where !line.isRight { Issue.record("\(SelfTestReport.text(line))") }
        #expect(report.hasPassed && report.failedOperations.isEmpty)
        #expect(report.lines == seen)
        #expect(Set(report.lines.map(\.operation)) == Set(Self.operations + ["upload", "stream", "merge"]))
        #expect(report.verdict.hasPrefix("\(report.lines.count) passed."))
        if device == "reference" { #expect(report.lines.allSatisfy { $0.error == 0 }) }
    }

    @Test("a device that is wrong in one operation fails in that one", arguments: operations)
    func finds(operation: String) throws {
        let report = try SelfTest.run(Perturbed(Runtime.open("cpu"), in: operation), runs: 1)
        #expect(!report.hasPassed)
        // Layers that take turns are products, whose results are copied.
        let failed = ["copy", "linear"].contains(operation) ? [operation, "stream"] : [operation]
        #expect(report.failedOperations == failed)
        #expect(report.verdict.hasSuffix("are wrong: \(failed.joined(separator: ", "))."))
    }

    @Test("what is computed in eight bits is wrong where it is alone", arguments: EightBitFormat.allCases)
    func findsInEightBits(format: EightBitFormat) throws {
        for operation in ["quantizeRows", "layerNormModulate", "addGatedLayerNorm", "addLayerNormModulate", "linear"] {
            let report = try SelfTest.run(Perturbed(Runtime.open("cpu"), in: operation), runs: 1, only: format)
            #expect(report.failedOperations == [operation] + (operation == "linear" ? ["stream"] : []))
            #expect(report.lines.allSatisfy { $0.shape.contains(format.rawValue) })
        }
    }

    @Test("a measured device computes the same, and every operation is noted")
    func measured() throws {
        let device = try MeasuredBackend(Runtime.open("cpu"))
        let report = try SelfTest.run(device, runs: 1)
        for line in report.lines where !line.isRight { Issue.record("\(SelfTestReport.text(line))") }
        let kinds = Set(try device.takeProfile().entries.map(\.kind))
        #expect(kinds == Set(OperationProfile.Kind.allCases))
    }

    @Test("lines say what was tested and how far off it was")
    func text() {
        var line = SelfTestReport.Line(
            operation: "linear", shape: "1x256x1536", error: 0.25, seconds: 0.0015, operationsPerSecond: 5e9)
        #expect(
            SelfTestReport.text(line)
                == "ok    linear             1x256x1536                                    0.250    1.50 ms   5.0 GFLOP/s"
        )
        #expect(line.isRight)
        line.error = 1.5
        #expect(!line.isRight && SelfTestReport.text(line).hasPrefix("WRONG "))
        line = SelfTestReport.Line(operation: "linear", shape: "1", problem: "It failed.", seconds: 0)
        #expect(!line.isRight && SelfTestReport.text(line).hasSuffix("\n      It failed."))
        #expect(!SelfTestReport(device: "x", summary: "", lines: []).hasPassed)
    }
}
