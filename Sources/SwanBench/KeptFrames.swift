import SwanDiagnostics
import SwanMedia
import SwanPipeline

/// Keeps a video in memory.
final class KeptFrames: FrameSink {
    let width, height: Int
    private(set) var bytes: [UInt8] = []

    init(_ settings: GenerationSettings) { (width, height) = (settings.width, settings.height) }
    func write(frames rgb: [UInt8], count: Int) { bytes += rgb }
    func finish(unless isStopped: () -> Bool) {}
    func cancel() {}
}
