import FoundationEssentials
import SwanCheckpoint
public import SwanDiagnostics
public import SwanModels
import SwanSampling
import SwanTensor

/// `swan.json`: a model's own defaults. Unknown keys are refused, since a misspelt one would be a
/// default nobody asked for.
private struct DefaultsFile: Decodable {
    var name: String
    var width, height, frames, fps, steps: Int
    var shift, boundary, guidanceHigh, guidanceLow: Double
    var negativePrompt: String
    var preset: String?
    static let keys: Set = [
        "name", "width", "height", "frames", "fps", "steps", "shift", "boundary", "guidance_high", "guidance_low",
        "negative_prompt", "preset",
    ]
}

/// The fields of `model_index.json` and `scheduler_config.json` that matter here.
private struct DiffusersIndex: Decodable {
    var boundaryRatio: Double?
}
private struct DiffusersScheduler: Decodable {
    var flowShift: Double?
}

extension ModelFiles {
    /// What this model does by default: from its `swan.json`, else the published values of the model
    /// that its sizes make it, with diffusers' boundary and shift where they say more. A model of other sizes
    /// gets those of its nearest relative, its folder's name, and a note.
    ///
    /// - Throws: `model.configuration` for a damaged or contradictory file.
    public func readDefaults(_ transformer: WanConfiguration) throws(SwanError) -> ModelDefaults {
        if let defaults { return try Self.read(defaults) }
        var (values, published): (ModelDefaults, WanConfiguration) =
            highNoise != nil
            ? (.t2vA14B, .t2v14B)
            : transformer.width == WanConfiguration.t2v1B.width ? (.t2v1B, .t2v1B) : (.t2v14B, .t2v14B)
        if transformer != published {
            let family = values.name
            values.name = folderName
            values.note =
                "\(values.name.printable()) has the sizes of no published model and brings no swan.json: "
                + "the default sampling values are those of \(family)."
        }
        if layout == .diffusers {
            let index: DiffusersIndex = try Self.decode(root + "/model_index.json")
            if let boundary = index.boundaryRatio, highNoise != nil { values.boundary = boundary }
            let scheduler = root + "/scheduler/scheduler_config.json"
            // 3.0 is what the converter writes into every model; it is not the models' own value.
            if exists(scheduler), let shift = try Self.decode(scheduler, as: DiffusersScheduler.self).flowShift,
                shift != 3
            {
                values.shift = shift
            }
        }
        return values
    }

    /// The name of the model's folder; of the repository, for a snapshot in the cache of the Hugging Face tools.
    private var folderName: String {
        let parts = root.split(separator: "/")
        if parts.count >= 3, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--") {
            return parts[parts.count - 3].split(separator: "--").last.map(String.init) ?? root
        }
        return lastComponent(root)
    }

    private static func read(_ path: String) throws(SwanError) -> ModelDefaults {
        let keys = try decode(path, as: [String: AnyValue].self).keys
        if let unknown = keys.first(where: { !DefaultsFile.keys.contains($0) }) {
            throw SwanError(
                .configuration, "\(path) has the key '\(unknown.printable())', which means nothing.",
                advice: "Known keys: \(DefaultsFile.keys.sorted().joined(separator: ", ")).")
        }
        let file: DefaultsFile = try decode(path)
        let values = ModelDefaults(
            name: file.name, width: file.width, height: file.height, frames: file.frames, fps: file.fps,
            steps: file.steps, shift: file.shift, boundary: file.boundary, guidanceHigh: file.guidanceHigh,
            guidanceLow: file.guidanceLow, negativePrompt: file.negativePrompt, preset: file.preset)
        do throws(SwanError) {
            try values.check()
        } catch {
            throw SwanError(
                .configuration, "\(path) has a value out of its range.",
                advice: "Correct the file, or fetch it again.", cause: error)
        }
        return values
    }

    /// Decodes a small JSON file.
    static func decode<T: Decodable>(_ path: String, as type: T.Type = T.self) throws(SwanError) -> T {
        try decode(MappedFile(path: path).bytes, as: type, origin: path)
    }

    /// Decodes a small JSON text.
    static func decode<T: Decodable>(
        _ bytes: HostBytes, as type: T.Type = T.self, origin: String
    ) throws(SwanError) -> T {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try bytes.withBytes { try decoder.decode(type, from: Data($0)) }
        } catch {
            throw SwanError(
                .configuration, "\(origin) cannot be understood as what its place says.",
                advice: "Fetch the file again.", cause: error)
        }
    }
}

extension ModelDefaults {
    /// Checks that a request which asks for nothing can be fulfilled.
    ///
    /// - Throws: `pipeline.invalid-request`, `sampling.invalid-schedule`.
    fileprivate func check() throws(SwanError) {
        guard preset == nil || Preset.all.contains(where: { $0.name == preset }) else {
            throw SwanError(.invalidRequest, "There is no preset '\(preset?.printable() ?? "")'.")
        }
        try GenerationSettings(
            model: name, width: width, height: height, frames: frames, fps: fps, steps: steps, solver: solver,
            shift: shift, boundary: boundary, guidanceHigh: guidanceHigh, guidanceLow: guidanceLow,
            negativePrompt: negativePrompt, preset: preset, lorasHigh: [], lorasLow: []
        ).check()
    }
}

/// Any JSON value, when only the keys around it matter.
private struct AnyValue: Decodable {
    init(from decoder: any Decoder) throws {}
}
