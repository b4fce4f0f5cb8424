import SwanCUDA
package import SwanDiagnostics
import SwanMedia
import SwanRuntime
import SwanTensor

extension Doctor {
    /// Processor, memory, disk.
    static func machineFindings(_ machine: Machine) -> [DoctorReport.Finding] {
        typealias Finding = DoctorReport.Finding
        var findings: [Finding] = []
        let cores = machine.cores == 1 ? "1 core" : "\(machine.cores) cores"
        let sets = machine.instructions.isEmpty ? "" : " with " + machine.instructions.joined(separator: ", ")
        let isFast = machine.instructions.contains("AVX2")
        findings.append(
            Finding(
                "processor", isFast ? .good : .note, "\(machine.processor), \(cores)\(sets)",
                advice: isFast ? "" : "Without AVX2 everything takes several times as long."))

        if let memory = machine.memory, let available = machine.availableMemory {
            // swan-tiny needs less than 2 GB; `swan models` knows what each model takes.
            let isEnough = available >= 2_000_000_000
            findings.append(
                Finding(
                    "memory", isEnough ? .good : .note,
                    "\(formatted(bytes: memory)), of which \(formatted(bytes: available)) are available",
                    advice: isEnough ? "" : "Close other programs. 'swan models' says what each model needs."))
        } else {
            findings.append(Finding("memory", .note, "The system does not say how much there is."))
        }

        if let free = machine.freeDisk {
            let isEnough = free >= 1_000_000_000
            findings.append(
                Finding(
                    "disk", isEnough ? .good : .note, "\(formatted(bytes: free)) are free here",
                    advice: isEnough ? "" : "Videos need some megabytes, models up to 140 GB."))
        }
        return findings
    }

    /// A CPU device that cannot be opened: nothing that a machine with a usable GPU needs.
    package static func oneDNNFinding(_ problem: SwanError, hasGPU: Bool) -> DoctorReport.Finding {
        DoctorReport.Finding("oneDNN", hasGPU ? .note : .problem, problem.message, advice: problem.advice)
    }

    /// Libraries that are opened or linked.
    static func libraryFindings(hasGPU: Bool) -> [DoctorReport.Finding] {
        typealias Finding = DoctorReport.Finding
        var findings: [Finding] = []
        do {
            let summary = try Runtime.open("cpu").summary
            let maps = contents("/proc/self/maps")
            let path = openedFile("libdnnl.so", maps: maps).map { " (\($0))" } ?? ""
            findings.append(Finding("oneDNN", .good, summary + path))
        } catch {
            findings.append(oneDNNFinding(error, hasGPU: hasGPU))
        }
        // It is linked, so that the program would not have started without it.
        let sentencePiece = openedFile("libsentencepiece.so", maps: contents("/proc/self/maps"))
        findings.append(Finding("SentencePiece", .good, sentencePiece ?? "built into the program"))
        return findings
    }

    /// Programs that are run.
    static func programFindings(searchPath: String) -> [DoctorReport.Finding] {
        let tools = MediaTools(searchPath: searchPath)
        guard let ffmpeg = tools.ffmpeg else {
            return [
                .init(
                    "ffmpeg", .note, "not found: mp4, webm and gif cannot be written",
                    advice: "Install it (Debian, Ubuntu: apt install ffmpeg); .y4m and .png need no program.")
            ]
        }
        return [.init("ffmpeg", .good, ffmpeg.printable())]
    }

    /// GPUs and their libraries. None of them is needed: without, Swan computes on the processor.
    static func deviceFindings(_ survey: DeviceSurvey) -> [DoctorReport.Finding] {
        var findings: [DoctorReport.Finding] = []
        if let problem = survey.driverProblem {
            let cards = PCIDevices.nvidia()
            findings.append(
                cards.isEmpty
                    ? .init("GPU", .good, "none is used: \(problem.message)")
                    : .init(
                        "GPU", .note, "an NVIDIA card is there and cannot be used: \(problem.message)",
                        advice: driverAdvice))
        } else if survey.devices.isEmpty {
            findings.append(.init("GPU", .good, "The driver finds none."))
        }
        for device in survey.devices {
            findings.append(
                .init(
                    "GPU \(device.ordinal)", .good,
                    "\(device.name.printable()), compute capability \(device.capability), "
                        + "\(formatted(bytes: device.memoryBytes)), \(device.multiprocessors) processors"))
        }
        for library in survey.found {
            findings.append(.init(library.library.title, .good, "\(library.version) (\(library.path.printable()))"))
        }
        // What is missing matters only where there is a GPU.
        for (library, problem) in survey.missing where !survey.devices.isEmpty {
            findings.append(
                .init(
                    library.title, .note, "\(problem.message) It brings \(library.purpose).",
                    advice: "`swan doctor --fix` fetches it. \(problem.advice)"))
        }
        return findings
    }
}

extension DeviceLibrary {
    /// The name that people know.
    var title: String {
        switch self {
        case .driver: "NVIDIA driver"
        case .nvrtc: "NVRTC"
        case .cublasLt: "cuBLASLt"
        case .cudnn: "cuDNN"
        }
    }
}
