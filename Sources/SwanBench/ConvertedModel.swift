import Glibc
import SwanDiagnostics
import SwanPipeline

/// A model whose transformers' files were written in another format, for a while.
struct ConvertedModel {
    /// The model, with the new files.
    private(set) var files: ModelFiles
    /// Their bytes.
    private(set) var bytes = 0
    private var written: [String] = []

    /// Writes the files.
    ///
    /// - Parameter folder: exists.
    /// - Throws: `conversion.refused` where the format cannot hold the weights; what writing throws. Nothing is left then.
    init(
        _ files: ModelFiles, _ format: ConversionFormat, in folder: String, cancellation: Cancellation
    ) throws(SwanError) {
        self.files = files
        do throws(SwanError) {
            if let high = files.highNoise {
                self.files.highNoise = try convert(high, "high_noise", format, folder, cancellation)
            }
            self.files.lowNoise = try convert(files.lowNoise, "low_noise", format, folder, cancellation)
        } catch {
            remove()
            throw error
        }
    }

    private mutating func convert(
        _ part: ModelFiles.Part, _ name: String, _ format: ConversionFormat, _ folder: String,
        _ cancellation: Cancellation
    ) throws(SwanError) -> ModelFiles.Part {
        let path = "\(folder)/\(name)_\(format.rawValue)\(format.isGGUF ? ".gguf" : ".safetensors")"
        let conversion = try Conversion(part.path, to: path, as: format)
        try conversion.run(cancellation: cancellation)
        written.append(path)
        bytes += conversion.bytes
        return ModelFiles.Part(path)
    }

    /// Removes the files.
    func remove() { for path in written { unlink(path) } }
}
