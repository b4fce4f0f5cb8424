import Glibc
import SwanDiagnostics
public import SwanPipeline

/// A model as a ladder needs it: in any format, and with whatever is asked of it.
public final class LadderModel {
    private enum Source {
        case files(ModelFiles)
        case synthetic(SyntheticModel)
    }

    private let source: Source
    private let folder: String
    private let cancellation: Cancellation
    private var converted: [ConversionFormat: ConvertedModel] = [:]

    /// A model of files.
    ///
    /// - Parameter files: the model.
    /// - Parameter folder: for converted files: made when it is needed, removed by `removeFiles()`.
    /// - Parameter cancellation: looked at while files are converted.
    public init(_ files: ModelFiles, folder: String, cancellation: Cancellation = Cancellation()) {
        (source, self.folder, self.cancellation) = (.files(files), folder, cancellation)
    }

    /// A model of real sizes with random weights.
    public init(_ model: SyntheticModel) {
        (source, folder, cancellation) = (.synthetic(model), "", Cancellation())
    }

    /// Whether the picture means nothing.
    var isSynthetic: Bool { if case .synthetic = source { true } else { false } }

    /// Whether there are files to convert.
    var canConvert: Bool { !isSynthetic }

    /// The distillation that the model brings; nil for none.
    var fewStepsPreset: String? {
        switch source {
        case .files(let files): files.lightning == nil ? nil : Preset.lightning.name
        case .synthetic(let model): model.hasTwoExperts ? Preset.lightning.name : nil
        }
    }

    /// Plans a run.
    ///
    /// - Parameter weights: the format of the transformers' files; nil for their own.
    func generator(
        _ items: [VideoItem], _ request: GenerationRequest, weights: ConversionFormat?
    ) throws(SwanError) -> Generator {
        switch source {
        case .files(let files):
            return try Generator(
                weights.map { (format) throws(SwanError) in try convert(files, format) } ?? files, request, items)
        case .synthetic(let model):
            return try Generator(
                model.parts(promptTokens: Self.promptTokens), model.defaults, try model.request(request), items,
                promptTokens: Self.promptTokens)
        }
    }

    /// Of a prompt that says some sentences.
    private static let promptTokens = 64

    /// The model with its transformers in another format.
    private func convert(_ files: ModelFiles, _ format: ConversionFormat) throws(SwanError) -> ModelFiles {
        if let model = converted[format] { return model.files }
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw SwanError(
                .temporaryFolder, "The folder \(folder.printable()) cannot be made.",
                advice: "Set TMPDIR to a folder that can be written to.", cause: SystemError("mkdir"))
        }
        let model = try ConvertedModel(files, format, in: folder, cancellation: cancellation)
        converted[format] = model
        return model.files
    }

    /// Removes converted files.
    func removeFiles() {
        for model in converted.values { model.remove() }
        converted = [:]
        if canConvert { rmdir(folder) }
    }
}
