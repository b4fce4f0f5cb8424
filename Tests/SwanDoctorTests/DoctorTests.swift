import Foundation
import SwanDiagnostics
import SwanDoctor
import Testing

@Suite("Doctor")
struct DoctorTests {
    @Test("this machine is healthy, and everything was looked at")
    func here() throws {
        let report = Doctor.examine(variables: ProcessInfo.processInfo.environment, folder: ".")
        let subjects = report.findings.map(\.subject)
        for subject in ["processor", "memory", "disk", "oneDNN", "SentencePiece", "ffmpeg"] {
            #expect(subjects.contains(subject))
        }
        #expect(subjects.contains { $0.hasPrefix("GPU") })
        #expect(report.isHealthy, "\(report.table())")
        for finding in report.findings where finding.level == .problem { #expect(!finding.advice.isEmpty) }
        let again = try JSONDecoder().decode(DoctorReport.self, from: JSONEncoder().encode(report))
        #expect(again == report)
    }

    @Test("a missing program is a note with advice")
    func missingProgram() {
        let report = Doctor.examine(variables: ["PATH": "/nowhere"], folder: ".")
        let finding = report.findings.first { $0.subject == "ffmpeg" }
        #expect(finding?.level == .note && finding?.advice.contains("apt install ffmpeg") == true)
        #expect(report.isHealthy)
    }

    @Test("problems are counted and shown")
    func table() {
        var report = DoctorReport(findings: [
            .init("memory", .good, "8.0 GB"), .init("oneDNN", .problem, "not installed", advice: "Install it."),
        ])
        #expect(!report.isHealthy)
        #expect(
            report.table() == """
                ok       memory  8.0 GB
                PROBLEM  oneDNN  not installed
                                 Install it.

                One problem has to be solved before videos can be made.

                """)
        report.findings.removeLast()
        #expect(report.table().hasSuffix("\nVideos can be made here.\n"))
    }

    @Test("the system's texts are read")
    func systemTexts() {
        let cpu = "processor\t: 0\nmodel name\t: A \u{1B}CPU\nflags\t\t: fpu avx2 fma avx512f\nmodel name\t: other\n"
        let (name, instructions) = Machine.processor(cpu)
        #expect(name == "A \\u{1b}CPU" && instructions == ["AVX2", "FMA", "AVX-512"])
        #expect(Machine.processor("") == ("unknown processor", []))
        let memory = Machine.memory("MemTotal:       24561234 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n")
        #expect(memory.total == 24_561_234 * 1024 && memory.available == 20_000_000 * 1024)
        #expect(Machine.memory("MemTotal: 99999999999999999999 kB").total == nil)
        #expect(Machine.memory("").total == nil)
        let maps = "7f00-7f01 r-xp 0000 08:01 77  /usr/lib/libdnnl.so.2.6\n7f02 rw-p 00 00:00 0\n"
        #expect(openedFile("libdnnl.so", maps: maps) == "/usr/lib/libdnnl.so.2.6")
        #expect(openedFile("libother.so", maps: maps) == nil)
    }

    @Test("without oneDNN a machine with a GPU can make videos, another cannot")
    func oneDNN() {
        let problem = SwanError(.fault, "oneDNN is not installed.", advice: "Install it.")
        #expect(DoctorReport(findings: [Doctor.oneDNNFinding(problem, hasGPU: true)]).isHealthy)
        #expect(!DoctorReport(findings: [Doctor.oneDNNFinding(problem, hasGPU: false)]).isHealthy)
    }
}
