import Glibc
import SwanDiagnostics
import SwanPipeline
import SwanTensor

/// The same sentences with the same noise, as videos of models and requests that differ in one thing.
struct ComparedVideos {
    /// What they show.
    let prompts: [String]
    /// The noise's seed, the same for every prompt.
    let seed: UInt64
    /// What computes.
    let backend: any Backend
    let cancellation: Cancellation

    /// The frames of each prompt's video, and how they were made.
    func make(
        _ files: ModelFiles, _ request: GenerationRequest
    ) throws(SwanError) -> (frames: [[UInt8]], settings: GenerationSettings) {
        let items = prompts.map { VideoItem(prompt: $0, start: .seed(seed), path: "") }
        var generator = try Generator(files, request, items)
        try generator.fit(items, to: backend, limit: nil, hostBytes: SystemMemory.available)
        let videos = try generator.runKeepingVideos(items, on: backend, cancellation: cancellation).videos
        return (videos, generator.settings)
    }

    /// Makes a folder for files that are thrown away.
    ///
    /// - Throws: `bench.quality` where it cannot be made, or is there.
    static func makeFolder(_ path: String) throws(SwanError) {
        guard mkdir(path, 0o700) == 0 else {
            throw SwanError(
                .quality, "The folder \(path.printable()) cannot be made.",
                advice: "Name one that does not exist, in a folder that does.", cause: SystemError("mkdir"))
        }
    }
}
