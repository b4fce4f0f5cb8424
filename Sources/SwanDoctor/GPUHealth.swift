import Glibc

/// What `nvidia-smi`, which comes with the driver, says about one GPU.
package struct GPUHealth: Sendable, Hashable {
    package var ordinal: Int
    /// MHz of the multiprocessors: now, and at most.
    package var clock, highestClock: Double?
    /// Watts that it may take, by default and at most.
    package var powerLimit, defaultPowerLimit: Double?
    /// Degrees Celsius.
    package var temperature: Double?
    /// Errors of the memory that could not be corrected, since the start; nil without ECC.
    package var memoryErrors: Int?
    /// Bytes of memory that programs use.
    package var usedBytes: Int?
    /// Per cent of the time that it works.
    package var utilization: Double?

    /// The columns that are asked for, in this order.
    static let columns = [
        "index", "clocks.sm", "clocks.max.sm", "power.limit", "power.default_limit", "temperature.gpu",
        "ecc.errors.uncorrected.volatile.total", "memory.used", "utilization.gpu",
    ]

    /// Reads lines of comma-separated values without units; what is no number there is not known.
    package static func read(_ text: String) -> [GPUHealth] {
        text.split(separator: "\n").compactMap { line in
            let values = line.split(separator: ",", omittingEmptySubsequences: false).map { value in
                Double(value.filter { !$0.isWhitespace })
            }
            guard values.count == columns.count, let ordinal = values[0].flatMap({ Int(exactly: $0) }) else {
                return nil
            }
            return GPUHealth(
                ordinal: ordinal, clock: values[1], highestClock: values[2], powerLimit: values[3],
                defaultPowerLimit: values[4], temperature: values[5],
                memoryErrors: values[6].flatMap { Int(exactly: $0) },
                usedBytes: values[7].flatMap { Int(exactly: $0) }.map { $0 << 20 }, utilization: values[8])
        }
    }

    /// Asks the driver's tool; none where it is not there.
    static func here() -> [GPUHealth] {
        let call = "nvidia-smi --query-gpu=\(columns.joined(separator: ",")) --format=csv,noheader,nounits 2>/dev/null"
        guard let pipe = popen(call, "r") else { return [] }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 1 << 16 {
            let count = fread(&buffer, 1, buffer.count, pipe)
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return pclose(pipe) == 0 ? read(String(decoding: bytes, as: UTF8.self)) : []
    }

    /// What is not as it should be, each with its cost.
    package var findings: [DoctorReport.Finding] {
        typealias Finding = DoctorReport.Finding
        let subject = "GPU \(ordinal) health"
        var findings: [Finding] = []
        if let memoryErrors, memoryErrors > 0 {
            findings.append(
                Finding(
                    subject, .problem, "\(memoryErrors) errors of its memory could not be corrected since the start",
                    advice: "Results may be wrong, and runs may end. Restart the machine; if they come back, have the"
                        + " card replaced."))
        }
        if let powerLimit, let defaultPowerLimit, powerLimit < 0.97 * defaultPowerLimit {
            let share = Int((100 * powerLimit / defaultPowerLimit).rounded())
            findings.append(
                Finding(
                    subject, .note, "its power is limited to \(Int(powerLimit)) of \(Int(defaultPowerLimit)) W",
                    advice: "Long runs are slower: up to \(100 - share) % less power for matrix products."
                        + " `nvidia-smi -pl \(Int(defaultPowerLimit))` lifts it."))
        }
        if let usedBytes, usedBytes > 1_000_000_000 {
            findings.append(
                Finding(
                    subject, .note,
                    "other programs use \(roundedGigabytes(usedBytes)) GB of its memory"
                        + (utilization.map { ", and it is busy \(Int($0)) % of the time" } ?? ""),
                    advice: "Weights that have no room are streamed, and both programs are slower. `nvidia-smi` lists"
                        + " them."))
        }
        if let temperature, temperature >= 85 {
            findings.append(
                Finding(
                    subject, .note, "it has \(Int(temperature)) °C",
                    advice: "At about 90 °C it lowers its clock, and with it the speed. Look after its fans."))
        }
        if findings.isEmpty {
            let parts = [
                highestClock.map { "up to \(Int($0)) MHz" }, powerLimit.map { "\(Int($0)) W" },
                temperature.map { "\(Int($0)) °C" }, memoryErrors.map { _ in "no memory errors" },
            ]
            findings.append(Finding(subject, .good, parts.compactMap(\.self).joined(separator: ", ")))
        }
        return findings
    }

    private func roundedGigabytes(_ bytes: Int) -> String { "\(bytes / 1_000_000_000).\(bytes / 100_000_000 % 10)" }
}
