public import SwanCheckpoint
public import SwanDiagnostics
public import SwanModels
import SwanNN
import SwanTensor

/// What a file or folder holds, from its headers.
public struct Inspection: Sendable, Codable {
    /// A part of a model, or a checkpoint that stands alone.
    public struct Part: Sendable, Codable {
        /// The role it was found in: `high-noise expert`, `text encoder`…
        public var role: String
        /// What it is: a family with its sizes, `LoRA`, or `unknown`.
        public var model: String
        /// Whose names its tensors have.
        public var naming: String?
        /// How it differs from what its sizes make it.
        public var check: TensorCheck?
        /// The headers.
        public var report: CheckpointReport
    }

    /// A failure as it is printed and stored.
    public struct Problem: Sendable, Codable {
        /// The code's name.
        public var code: String
        /// What was found and expected.
        public var message: String
        /// What to do.
        public var advice: String
        private var status: Int32

        init(_ error: SwanError) {
            code = error.code.name
            message = error.message
            advice = error.advice
            status = error.code.kind.rawValue
        }

        /// The failure as an error.
        public var error: SwanError {
            SwanError(.init(code, SwanError.Kind(rawValue: status) ?? .data), message, advice: advice)
        }
    }

    /// What was named.
    public var path: String
    /// The layout, when it is the folder of a whole model.
    public var layout: String?
    /// The parts.
    public var parts: [Part]
    /// The tokenizer's file.
    public var tokenizer: String?
    /// Files in the folder that cannot be read, and that the model does not need.
    public var unread: [ModelFiles.UnreadFile] = []
    /// What keeps the model from being run.
    public var problem: Problem?

    /// Reads headers.
    ///
    /// - Throws: the readers' codes when not even headers can be read.
    public init(of path: String) throws(SwanError) {
        let path = isFolder(path) ? Folder.trimmed(path) : path
        self.path = path
        parts = []
        if isFolder(path), Self.mayBeModel(path) {
            do throws(SwanError) {
                let files = try ModelFiles(in: path)
                layout = files.layout.rawValue
                tokenizer = files.tokenizer
                unread = files.unread
                if let high = files.highNoise { try add("high-noise expert", high) }
                try add(files.highNoise == nil ? "transformer" : "low-noise expert", files.lowNoise)
                try add("text encoder", files.textEncoder)
                try add("video autoencoder", files.autoencoder)
                _ = try files.openTokenizer()
            } catch {
                problem = problem ?? Problem(error)
            }
        } else {
            try add("checkpoint", ModelFiles.Part(path, configuration: Folder(path: path).find("config.json")))
        }
        if problem == nil {
            for part in parts {
                guard let check = part.check else { continue }
                do throws(SwanError) { try check.requireFine(of: part.report.path) } catch { problem = Problem(error) }
            }
        }
    }

    /// Whether a folder looks like that of a whole model and not of one checkpoint's shards.
    private static func mayBeModel(_ path: String) -> Bool {
        let names = Folder(path: path).names
        let weights = names.filter { name in
            [".safetensors", ".pth", ".gguf", ".index.json"].contains { name.hasSuffix($0) }
        }
        let isCheckpoint =
            !weights.isEmpty && weights.allSatisfy { $0.hasSuffix(".safetensors") || $0.hasSuffix(".index.json") }
            && !names.contains("model_index.json")
            && (weights.count == 1 || weights.contains { $0.hasSuffix(".index.json") })
        return !isCheckpoint
    }

    /// Adds a part. What its tensors are is told even where they make no model that this engine runs: that
    /// is then the problem.
    private mutating func add(_ role: String, _ file: ModelFiles.Part) throws(SwanError) {
        let report = try CheckpointReport(readingHeadersOf: file.path)
        var source = try strippingCommonPrefix(openWeights(at: file.path))
        do throws(SwanError) {
            source = try openModelWeights(at: file.path)
        } catch {
            // Headers tell what is there, also where weights are stored in a way that is not read.
            problem = problem ?? Problem(error)
            parts.append(
                Part(
                    role: role, model: Component.kind(ofNames: source.names)?.title ?? "unknown", naming: nil,
                    check: nil, report: report))
            return
        }
        guard let component = try Component(source) else {
            let isLoRA = source.names.contains {
                $0.contains("lora_") || $0.hasSuffix(".diff") || $0.hasSuffix(".alpha")
            }
            parts.append(
                Part(role: role, model: isLoRA ? "LoRA" : "unknown", naming: nil, check: nil, report: report))
            return
        }
        var part = Part(
            role: role, model: component.kind.title, naming: component.naming, check: nil, report: report)
        do throws(SwanError) {
            (part.model, part.check) = try Self.describe(component, file)
        } catch {
            problem = problem ?? Problem(error)
        }
        parts.append(part)
    }

    private static func describe(_ component: Component, _ file: ModelFiles.Part) throws(SwanError) -> (
        String, TensorCheck
    ) {
        switch component.kind {
        case .transformer:
            let config = try ModelFiles.configuration(of: component.weights, file)
            let known = [
                WanConfiguration.t2v14B: "Wan T2V 14B (Wan2.1, or an expert of Wan2.2-A14B)", .t2v1B: "Wan2.1 T2V 1.3B",
                .ti2v5B: "Wan2.2 TI2V 5B",
            ]
            var sizes = config
            sizes.textTokens = 512
            return (
                "\(known[sizes] ?? "Wan transformer"): width \(config.width), \(config.heads) heads, \(config.layers) blocks, feed-forward \(config.feedForward), \(config.parameters) parameters",
                TensorCheck(component.weights, expected: config.tensorShapes)
            )
        case .textEncoder:
            let config = try UMT5Configuration(shapesOf: component.weights)
            return (
                "\(config == .xxl ? "UMT5-XXL encoder" : "UMT5 encoder"): width \(config.width), \(config.heads) heads, \(config.layers) blocks, \(config.vocabulary) ids",
                TensorCheck(component.weights, expected: config.tensorShapes, tolerated: UMT5Encoder.tolerated)
            )
        case .autoencoder:
            // The latents' scales stand elsewhere; for the sizes any do.
            let channels =
                component.weights.info("decoder.conv1.weight").map { $0.shape.rank > 1 ? $0.shape[1] : 0 } ?? 0
            let ones = [Float](repeating: 1, count: channels)
            let config = try WanVAEConfiguration(shapesOf: component.weights, mean: ones, deviation: ones)
            return (
                "Wan2.1 autoencoder: \(config.baseChannels) base channels, \(channels) latent channels",
                TensorCheck(component.weights, expected: config.tensorShapes)
            )
        }
    }

    /// The inspection as people read it.
    public func table(listingTensors: Bool) -> String {
        var lines: [String] = []
        if let layout { lines.append("\(path): \(layout) layout") }
        for part in parts {
            let report = part.report
            lines.append("\(part.role)  \(report.path)")
            lines.append("  \(part.model)\(part.naming.map { "; \($0) names" } ?? "")")
            let types = report.dtypes.map { "\($0.tensors) \($0.dtype) (\(formatted(bytes: $0.bytes)))" }.joined(
                separator: ", ")
            lines.append(
                "  \(report.tensors.count) tensors, \(report.parameters) values, \(formatted(bytes: report.bytes)): \(types)"
            )
            let bits = Int((100 * report.format.bitsPerWeight).rounded())
            let hundredths = bits % 100 < 10 ? "0\(bits % 100)" : "\(bits % 100)"
            let small = report.format.quantized > 0 ? ", \(report.format.quantized) weights below 16 bits" : ""
            lines.append("  weights: \(report.format.name); \(bits / 100).\(hundredths) bits each\(small)")
            if report.files.count > 1 { lines.append("  \(report.files.count) files") }
            if let check = part.check {
                if check.isFine { lines.append("  complete: nothing is missing or left over") }
                lines += check.missing.prefix(10).map { "  missing: \($0.printable())" }
                lines += check.misshapen.prefix(10).map { "  does not fit: \($0.printable())" }
                lines += check.leftOver.prefix(10).map { "  left over: \($0.printable())" }
            }
            if listingTensors {
                lines += report.tensors.map {
                    "    \($0.name.printable())  \($0.dtype) \(Shape($0.shape))  \(formatted(bytes: $0.bytes))"
                }
            }
        }
        lines += unread.map {
            "not read: \($0.path.printable(limit: 1024)), which the model does not need: \($0.reason)"
        }
        if layout != nil, problem == nil { lines.append("tokenizer  \(tokenizer ?? "inside the text encoder's file")") }
        return lines.joined(separator: "\n")
    }
}
