import SwanCUDA

/// What a machine has and what it lacks to run Swan.
public struct DoctorReport: Sendable, Codable, Hashable {
    /// How much a finding matters.
    public enum Level: String, Sendable, Codable {
        /// As it should be.
        case good
        /// Something could be better, and nothing depends on it.
        case note
        /// Videos cannot be made like this.
        case problem
    }

    /// One thing that was looked at.
    public struct Finding: Sendable, Codable, Hashable {
        /// What was looked at: `memory`, `oneDNN`.
        public var subject: String
        /// How much it matters.
        public var level: Level
        /// What was found.
        public var text: String
        /// What can be done; empty when nothing needs to be.
        public var advice: String

        /// Makes a finding.
        public init(_ subject: String, _ level: Level, _ text: String, advice: String = "") {
            (self.subject, self.level, self.text, self.advice) = (subject, level, text, advice)
        }
    }

    /// All findings, in the order in which they are shown.
    public var findings: [Finding]

    /// Makes a report.
    public init(findings: [Finding]) { self.findings = findings }

    /// Whether videos can be made.
    public var isHealthy: Bool { findings.allSatisfy { $0.level != .problem } }

    /// One line for each finding, its advice below it, and a verdict.
    public func table() -> String {
        let width = findings.map(\.subject.count).max() ?? 0
        let lines = findings.flatMap { finding -> [String] in
            let mark =
                switch finding.level {
                case .good: "ok     "
                case .note: "note   "
                case .problem: "PROBLEM"
                }
            let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
            let indent = String(repeating: " ", count: 11 + width)
            let advice = finding.advice.split(separator: "\n").map { indent + $0 }
            return ["\(mark)  \(subject)  \(finding.text)"] + advice
        }
        let problems = findings.count { $0.level == .problem }
        let verdict =
            problems == 0
            ? "Videos can be made here."
            : "\(problems == 1 ? "One problem has" : "\(problems) problems have") to be solved before videos can be made."
        return (lines + ["", verdict, ""]).joined(separator: "\n")
    }
}

/// Looks at this machine.
public enum Doctor {
    /// Looks at everything; takes a second at most.
    ///
    /// - Parameters:
    ///   - variables: the process' environment.
    ///   - folder: where videos and models are to go; its free space is looked at.
    public static func examine(variables: [String: String], folder: String) -> DoctorReport {
        let machine = Machine.here(folder: folder)
        var findings = machineFindings(machine)
        if let speed = DiskSpeed(of: folder) { findings.append(speed.finding) }
        let survey = DeviceSurvey(.thisProcess(variables: variables))
        findings += libraryFindings(hasGPU: survey.isUsable)
        findings += programFindings(searchPath: variables["PATH"] ?? "")
        findings += deviceFindings(survey)
        if !survey.devices.isEmpty {
            findings += GPUHealth.here().flatMap(\.findings)
            if let memory = machine.availableMemory {
                findings.append(MemoryLimits.pageCache(availableMemory: memory))
            }
            findings.append(MemoryLimits.pinnedHere())
        }
        return DoctorReport(findings: findings)
    }
}
