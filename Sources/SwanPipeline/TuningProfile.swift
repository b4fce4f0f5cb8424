import FoundationEssentials
import Glibc
public import SwanDiagnostics
public import SwanSampling
public import SwanTensor

/// What was measured to be fastest for a model on a device at one size, beside what it costs.
public struct TuningProfile: Sendable, Hashable, Codable {
    /// What a profile is for: it serves nothing else.
    public struct Key: Sendable, Hashable, Codable {
        /// The model, as runs name it.
        public var model: String
        /// What is computed on.
        public var device: String
        /// All that decides what is made, but for what a profile decides.
        public var settings: GenerationSettings

        /// Names what is made.
        ///
        /// - Parameters:
        ///   - settings: of a run without a profile.
        ///   - source: where the model came from.
        ///   - backend: the device.
        public init(_ settings: GenerationSettings, _ source: ModelSource, on backend: any Backend) {
            model = source.model + (source.base.map { " with \($0)" } ?? "")
            device = backend.hardware
            self.settings = settings
            (self.settings.precision, self.settings.cacheThreshold) = (nil, nil)
            self.settings.guidanceInterval = nil
            // What is not seen in how fast, or how near, a video is made.
            (self.settings.negativePrompt, self.settings.fps) = ("", 0)
        }
    }

    /// What it is for.
    public var key: Key
    /// The program's version.
    public var swan: String
    /// When it was measured, as ISO 8601 in UTC.
    public var measured: String
    /// The arithmetic of linear layers; nil for the device's own.
    public var precision: EightBitFormat?
    /// The attention kernel; nil for the device's choice.
    public var attention: String?
    /// The step cache's threshold; nil without one.
    public var cacheThreshold: Double?
    /// The part of the steps that has guidance; nil for all.
    public var guidanceInterval: GuidanceInterval?
    /// The plain way's time over that of this.
    public var speedUp: Double
    /// The structural similarity of its videos to those of the plain way; nil where they are the same.
    public var ssim: Double?

    /// Puts a profile together.
    public init(
        _ key: Key, swan: String, measured: String, precision: EightBitFormat?, attention: String?,
        cacheThreshold: Double?, guidanceInterval: GuidanceInterval?, speedUp: Double, ssim: Double?
    ) {
        (self.key, self.swan, self.measured) = (key, swan, measured)
        (self.precision, self.attention) = (precision, attention)
        (self.cacheThreshold, self.guidanceInterval) = (cacheThreshold, guidanceInterval)
        (self.speedUp, self.ssim) = (speedUp, ssim)
    }

    /// Whether it changes anything.
    public var isPlain: Bool {
        precision == nil && attention == nil && cacheThreshold == nil && guidanceInterval == nil
    }

    /// What is left of the profile where a request, or a kernel that was asked for, decides something itself.
    ///
    /// - Parameters:
    ///   - request: what it decides itself is left to it.
    ///   - isAttentionOpen: whether the attention kernel is for the profile to choose.
    public func filling(_ request: GenerationRequest, isAttentionOpen: Bool) -> TuningProfile {
        var profile = self
        if request.precision != nil { profile.precision = nil }
        if request.cacheThreshold != nil { profile.cacheThreshold = nil }
        if request.guidanceInterval != nil { profile.guidanceInterval = nil }
        if !isAttentionOpen { profile.attention = nil }
        return profile
    }

    /// Adds what the profile says to a request that leaves it open.
    public func fill(_ request: inout GenerationRequest) {
        request.precision = request.precision ?? precision.map { LinearPrecision($0) }
        request.cacheThreshold = request.cacheThreshold ?? cacheThreshold
        request.guidanceInterval = request.guidanceInterval ?? guidanceInterval
    }

    /// `1.84 times as fast`, and what it costs.
    public var gainText: String {
        "\(decimal(speedUp, 2)) times as fast" + (ssim.map { ", SSIM \(decimal($0, 2))" } ?? "")
    }

    /// What it does, as people read it.
    public var text: String {
        let parts = Self.parts(precision, attention, cacheThreshold, guidanceInterval)
        return parts.isEmpty ? "the plain way" : parts.joined(separator: ", ")
    }

    /// What distinguishes a way from the plain one, as people read it.
    package static func parts(
        _ precision: EightBitFormat?, _ attention: String?, _ cacheThreshold: Double?,
        _ guidanceInterval: GuidanceInterval?
    ) -> [String] {
        [
            precision.map { "\($0.rawValue) arithmetic" }, attention.map { "\($0) attention" },
            cacheThreshold.map { "step cache \($0)" },
            guidanceInterval.map { "guidance from \($0.start) to \($0.stop)" },
        ].compactMap(\.self)
    }
}

/// The profiles of this machine: a small file for each.
public struct TuningProfiles: Sendable {
    private let folder: String

    /// - Parameter dataFolder: Swan's own folder.
    public init(dataFolder: String) { folder = "\(dataFolder)/profiles" }

    /// The profile for something; nil where there is none, or none that can be read.
    public func find(_ key: TuningProfile.Key) -> TuningProfile? {
        guard let data = FileManager.default.contents(atPath: path(key)),
            let profile = try? JSONDecoder().decode(TuningProfile.self, from: data), profile.key == key
        else { return nil }
        return profile
    }

    /// Keeps a profile in place of an earlier one for the same.
    ///
    /// - Returns: its file.
    /// - Throws: `pipeline.profile-unwritable`.
    @discardableResult
    public func save(_ profile: TuningProfile) throws(SwanError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let path = path(profile.key)
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try encoder.encode(profile).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw SwanError(
                .profileUnwritable, "The profile \(path.printable()) cannot be written.",
                advice: "Check that its folder may be written to and has room, or set XDG_DATA_HOME.", cause: error)
        }
        return path
    }

    private func path(_ key: TuningProfile.Key) -> String {
        // FNV-1a: names that differ in what a file's name cannot hold get different files.
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let text = (try? encoder.encode(key)) ?? Data()
        let hash = text.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let model = lastComponent(key.model).unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || "0123456789.-_".unicodeScalars.contains(scalar))
                ? String(scalar) : "-"
        }.joined()
        return
            "\(folder)/\(model.prefix(80))-\(key.settings.width)x\(key.settings.height)x\(key.settings.frames)-\(String(hash, radix: 16)).json"
    }
}

extension SwanError.Code {
    /// A profile's file cannot be written.
    public static let profileUnwritable = Self("pipeline.profile-unwritable", .io)
}
