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
    var shift, boundary, guidance_high, guidance_low: Double
    var negative_prompt: String
    var preset: String?
    static let keys: Set = [
        "name", "width", "height", "frames", "fps", "steps", "shift", "boundary", "guidance_high", "guidance_low",
        "negative_prompt", "preset",
    ]
}

/// The fields of `model_index.json` and `scheduler_config.json` that matter here.
private struct DiffusersIndex: Decodable {
    var boundary_ratio: Double?
}
private struct DiffusersScheduler: Decodable {
    var flow_shift: Double?
}

extension ModelFiles {
    /// What this model does by default: from its `swan.json`, else the published values of the model
    /// that its sizes make it, with diffusers' boundary and shift where they say more.
    ///
    /// - Throws: `model.configuration` for a damaged or contradictory file.
    public func readDefaults(_ transformer: WanConfiguration) throws(SwanError) -> ModelDefaults {
        if let defaults { return try Self.read(defaults) }
        var values: ModelDefaults =
            highNoise != nil ? .t2vA14B : transformer.width == WanConfiguration.t2v1B.width ? .t2v1B : .t2v14B
        if layout == .diffusers {
            let index: DiffusersIndex = try Self.decode(root + "/model_index.json")
            if let boundary = index.boundary_ratio, highNoise != nil { values.boundary = boundary }
            let scheduler = root + "/scheduler/scheduler_config.json"
            // 3.0 is what the converter writes into every model; it is not the models' own value.
            if exists(scheduler), let shift = try Self.decode(scheduler, as: DiffusersScheduler.self).flow_shift, shift != 3 {
                values.shift = shift
            }
        }
        return values
    }

    private static func read(_ path: String) throws(SwanError) -> ModelDefaults {
        let keys = try decode(path, as: [String: AnyValue].self).keys
        if let unknown = keys.first(where: { !DefaultsFile.keys.contains($0) }) {
            throw SwanError(
                .configuration, "\(path) has the key '\(unknown.printable())', which means nothing.",
                advice: "Known keys: \(DefaultsFile.keys.sorted().joined(separator: ", ")).")
        }
        let file: DefaultsFile = try decode(path)
        return ModelDefaults(
            name: file.name, width: file.width, height: file.height, frames: file.frames, fps: file.fps,
            steps: file.steps, shift: file.shift, boundary: file.boundary, guidanceHigh: file.guidance_high,
            guidanceLow: file.guidance_low, negativePrompt: file.negative_prompt, preset: file.preset)
    }

    /// Decodes a small JSON file.
    static func decode<T: Decodable>(_ path: String, as type: T.Type = T.self) throws(SwanError) -> T {
        let file = try MappedFile(path: path)
        do {
            return try file.bytes.withBytes { try JSONDecoder().decode(type, from: Data($0)) }
        } catch {
            throw SwanError(
                .configuration, "\(path) cannot be understood as what its place says.",
                advice: "Fetch the file again.", cause: error)
        }
    }
}

/// Any JSON value, when only the keys around it matter.
private struct AnyValue: Decodable {
    init(from decoder: any Decoder) throws {}
}
