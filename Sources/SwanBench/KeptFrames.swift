import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanTensor

/// Keeps a video in memory.
final class KeptFrames: FrameSink {
    let width, height: Int
    private(set) var bytes: [UInt8] = []

    init(_ settings: GenerationSettings) { (width, height) = (settings.width, settings.height) }
    func write(frames rgb: [UInt8], count: Int) { bytes += rgb }
    func finish(unless isStopped: () -> Bool) {}
    func cancel() {}
}

extension Generator {
    /// Runs all stages with the videos kept in memory.
    func runKeepingVideos(
        _ items: [VideoItem], on backend: any Backend, cancellation: Cancellation,
        keeper: (any DenoisingKeeper)? = nil
    ) throws(SwanError) -> (report: RunReport, videos: [[UInt8]]) {
        var sinks: [KeptFrames] = []
        let report = try run(
            items, on: backend, cancellation: cancellation, keeper: keeper,
            open: { (_, settings) throws(SwanError) in
                sinks.append(KeptFrames(settings))
                return sinks[sinks.count - 1]
            }, report: { _ in })
        return (report, sinks.map(\.bytes))
    }
}
