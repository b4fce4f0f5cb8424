import SwanCheckpoint
public import SwanDiagnostics
import SwanMedia
public import SwanModels
import SwanNN
import SwanTensor

/// Writing a checkpoint in another published format.
///
/// Planned from headers alone: what the output will hold and how large it is. Then one tensor at a time is read, brought
/// into its type and written, so that memory is that of the largest tensor.
public struct Conversion: Sendable {
    /// A tensor of the output, or a weight and its scales.
    private struct Item: Sendable {
        /// In the source.
        let source: String
        /// In the output.
        let name: String
        let shape: Shape
        let dtype: DType
        /// The name of the scales, where they are a tensor of their own.
        var scales: String?
    }

    /// What was asked for.
    public let format: ConversionFormat
    /// What the checkpoint holds.
    public let kind: ComponentKind
    /// Where it goes.
    public let path: String
    /// Bytes of the output.
    public let bytes: Int
    /// Bytes that are read.
    public let sourceBytes: Int
    /// Weights that get the format's small type.
    public let quantizedCount: Int
    /// What has to be said of the result; empty for most.
    public let notes: [String]

    private let source: any WeightSource
    private let items: [Item]
    private let metadata: [String: String]
    private let ggufMetadata: [String: GGUFValue]
    private let configuration: HostBytes?
    private let shardBytes: Int?

    /// Marks a file whose layers' weights have a scale each. Two elements: multiply in full precision.
    private static let marker = "scaled_fp8"

    /// Plans a conversion.
    ///
    /// - Parameters:
    ///   - input: a file, an index or a folder of shards: of a transformer, a text encoder or an autoencoder.
    ///   - path: `….safetensors` or `….gguf` for one file; a name without these, or with a slash behind it, for a
    ///     folder of shards.
    ///   - format: how the values are stored.
    ///   - shardBytes: the most that a shard's tensors take; nil for 5 GB.
    /// - Throws: the readers' codes; `pipeline.conversion` for what makes no sense; `media.output-exists`,
    ///   `media.folder-missing`, `media.folder-unwritable`, `media.disk-room`. Nothing has been written then.
    public init(
        _ input: String, to path: String, as format: ConversionFormat, shardBytes: Int? = nil
    ) throws(SwanError) {
        let input = isFolder(input) ? Folder.trimmed(input) : input
        let given = path
        let path = Folder.trimmed(given)
        let isFile = path.hasSuffix(".safetensors") || path.hasSuffix(".gguf")
        guard path == given || !isFile else {
            throw Self.refusal(
                "'\(given.printable())' is the name of a folder and ends as a file's",
                advice: "Leave the slash out for one file, or the ending for a folder of shards.")
        }
        guard format.isGGUF == path.hasSuffix(".gguf"), isFile || !format.isGGUF else {
            throw Self.refusal(
                "'\(path.printable())' cannot be the name of a file in the format \(format.rawValue)",
                advice: format.isGGUF
                    ? "Choose a name that ends in .gguf."
                    : "Choose a name that ends in .safetensors, or one without ending for a folder of shards.")
        }
        guard shardBytes == nil || !isFile else {
            throw Self.refusal(
                "a size of shards was given, and '\(path.printable())' is one file",
                advice: "Choose a name without ending for a folder of shards, or leave the size out.")
        }
        if let shardBytes, shardBytes < 1_000_000 {
            throw Self.refusal(
                "shards of \(formatted(bytes: shardBytes)) were asked for", advice: "Choose at least 1MB.")
        }
        let opened = try openModelWeights(at: input)
        guard let component = try Component(opened) else {
            let what =
                LoRANames.areThere(opened.names) ? "is a LoRA" : "holds no transformer, text encoder or autoencoder"
            throw Self.refusal(
                "\(opened.origin) \(what), and only those are converted",
                advice: "`swan inspect \(input.printable())` shows what it holds.")
        }
        kind = component.kind
        self.format = format
        self.path = path
        self.shardBytes = isFile ? nil : shardBytes ?? 5_000_000_000
        // Transformers get the names that every tool reads; other parts keep theirs, unless only llama.cpp knows them.
        source = kind == .transformer || component.naming == "llama.cpp" ? component.weights : opened
        try Self.check(format, kind, source)

        var items: [Item] = []
        for name in source.names {
            guard let info = source.info(name) else { throw .unavailable(name, in: source) }
            items.append(try Self.item(name, info, kind, format, component))
        }
        self.items = items
        quantizedCount = items.filter { format.isQuantized && $0.dtype == format.dtype }.count
        guard !format.isQuantized || quantizedCount > 0 else {
            throw Self.refusal(
                "\(source.origin) has no layer that \(format.rawValue) could shrink",
                advice: "Its rows may be no whole blocks: choose another format.")
        }
        let heads: Int?
        (configuration, heads) = try Self.configuration(input, component)
        (metadata, ggufMetadata) = Self.notes(of: source, format, configuration, heads: heads)
        notes = Self.remarks(source, format, items)
        sourceBytes = source.names.reduce(0) {
            $0 + (opened.info($1)?.storedBytes ?? component.weights.info($1)?.storedBytes ?? 0)
        }
        bytes = Self.announced(items, format).reduce(0) { $0 + $1.bytes }
        // Headers and padding besides.
        try OutputPath.checkFile(path, bytes: bytes + 256 * items.count + (1 << 20))
    }

    /// Reads, converts and writes. What gets the output's name meanwhile is not overwritten.
    ///
    /// - Parameters:
    ///   - cancellation: looked at between tensors.
    ///   - progress: told the bytes that were read.
    /// - Throws: `pipeline.conversion` for a value that the format cannot hold, naming the tensor; `cancelled`;
    ///   `checkpoint.unwritable`. Nothing is left then.
    public func run(
        cancellation: Cancellation = Cancellation(), progress: (Int) -> Void = { _ in }
    ) throws(SwanError) {
        let announced = Self.announced(items, format)
        let output: any CheckpointOutput
        if format.isGGUF {
            output = try GGUFOutput(announced, metadata: ggufMetadata, to: path)
        } else if let shardBytes {
            let stem = kind == .textEncoder ? "model" : "diffusion_pytorch_model"
            output = try ShardedOutput(
                announced, metadata: metadata, stem: stem, shardBytes: shardBytes,
                others: configuration.map { ["config.json": $0] } ?? [:], folder: path)
        } else {
            output = try SafetensorsOutput(announced, metadata: metadata, to: path)
        }
        var done = 0
        for item in items {
            try cancellation.check()
            let tensor = try source.tensor(item.source)
            try check(tensor, item)
            if let scales = item.scales, let granularity = format.granularity {
                let weight = try tensor.quantized(to: item.dtype, granularity)
                try output.put(item.name, HostTensor(item.shape, item.dtype, weight.payload))
                try output.put(scales, HostTensor(Self.scaleShape(item.shape, granularity), weight.scales))
            } else {
                try output.put(item.name, tensor.converted(to: item.dtype))
            }
            done += source.info(item.source)?.storedBytes ?? 0
            progress(done)
        }
        if format == .fp8Scaled {
            let zeros = [UInt8](repeating: 0, count: 2).withUnsafeBytes { HostBytes(copying: $0) }
            try output.put(Self.marker, HostTensor([2], .float8E4M3, zeros))
        }
        try output.finish()
    }

    // MARK: What goes where

    private static func refusal(_ problem: String, advice: String) -> SwanError {
        let first = problem.prefix(1).uppercased()
        return SwanError(.conversionRefused, first + problem.dropFirst() + ".", advice: advice)
    }

    /// What makes no sense, whatever the tensors are.
    private static func check(
        _ format: ConversionFormat, _ kind: ComponentKind, _ source: any WeightSource
    ) throws(SwanError) {
        if format.isGGUF, kind != .transformer {
            throw refusal(
                "\(source.origin) is a \(kind.title), and only transformers are written as GGUF",
                advice: "Choose a safetensors format.")
        }
        if format.isQuantized, kind == .autoencoder {
            throw refusal(
                "\(source.origin) is a \(kind.title), whose convolutions \(format.rawValue) does not shrink",
                advice: "Choose bf16, fp16 or fp32.")
        }
    }

    private static func item(
        _ name: String, _ info: TensorInfo, _ kind: ComponentKind, _ format: ConversionFormat, _ component: Component
    ) throws(SwanError) -> Item {
        func plain(_ dtype: DType) -> Item { Item(source: name, name: name, shape: info.shape, dtype: dtype) }
        // A tokenizer, a counter.
        guard info.dtype.isFloatingPoint else { return plain(info.dtype) }
        if format.isQuantized, isLayer(name, info.shape, kind),
            (info.shape.extents.last ?? 1) % format.dtype.blockElements == 0
        {
            var item = plain(format.dtype)
            if format.granularity != nil, let path = name.hasSuffix(".weight") ? String(name.dropLast(7)) : nil {
                item.scales = path + (format == .fp8Scaled ? ".scale_weight" : ".weight_scale")
            }
            return item
        }
        if format.isGGUF {
            // What converters write: vectors and tables in full, the embeddings' matrices in 16 bits.
            let isSmall = info.shape.rank != 2 || name.hasSuffix("modulation")
            if isSmall { return plain(.float32) }
            if !format.isQuantized { return plain(format.dtype) }
            return plain(info.dtype == .float16 ? .float16 : .bfloat16)
        }
        if !format.isQuantized { return plain(format.dtype) }
        switch info.dtype {
        case .float32, .float16, .bfloat16: return plain(info.dtype)
        case .float64: return plain(.float32)
        // Eight bits that stay outside the layers, and blocks: in 16 bits.
        default: return plain(.bfloat16)
        }
    }

    /// Whether a tensor is the weight of a layer inside a block, which every published quantisation shrinks.
    private static func isLayer(_ name: String, _ shape: Shape, _ kind: ComponentKind) -> Bool {
        guard shape.rank == 2, name.hasSuffix(".weight") else { return false }
        switch kind {
        case .transformer: return name.hasPrefix("blocks.")
        case .textEncoder:
            let official = UMT5Keys.official(tensor: name) ?? name
            return official.hasPrefix("blocks.") && !official.contains("pos_embedding")
        case .autoencoder: return false
        }
    }

    private static func scaleShape(_ weight: Shape, _ granularity: QuantizedWeight.Granularity) -> Shape {
        granularity == .row ? [weight[0], 1] : []
    }

    /// Every tensor of the output.
    private static func announced(_ items: [Item], _ format: ConversionFormat) -> [AnnouncedTensor] {
        var tensors = items.map { AnnouncedTensor($0.name, $0.shape, $0.dtype) }
        if let granularity = format.granularity {
            tensors += items.compactMap { item in
                item.scales.map { AnnouncedTensor($0, scaleShape(item.shape, granularity), .float32) }
            }
        }
        if format == .fp8Scaled { tensors.append(AnnouncedTensor(marker, [2], .float8E4M3)) }
        return tensors
    }

    /// The part's own configuration, for what is written; and a transformer's heads.
    ///
    /// A transformer's is the official one, as its names are: whole, whatever was there of it.
    private static func configuration(
        _ input: String, _ component: Component
    ) throws(SwanError) -> (json: HostBytes?, heads: Int?) {
        let beside = Folder(path: isFolder(input) ? input : Folder.containing(input))
        let part = ModelFiles.Part(input, configuration: beside.find("config.json"))
        let found = try ModelFiles.configurations(of: component.kind, component.weights, part).first?.json
        guard component.kind == .transformer else { return (found, nil) }
        let sizes: WanConfiguration
        // Relatives of the models that run, and sizes that nothing tells: what is there goes along.
        do throws(SwanError) {
            sizes = try ModelFiles.configuration(of: component.weights, part)
        } catch {
            guard error.code == .configuration else { throw error }
            return (found, nil)
        }
        if let found, WanConfiguration.isOfficial(json: found) { return (found, sizes.heads) }
        return (Array(sizes.officialJSON.utf8).withUnsafeBytes { HostBytes(copying: $0) }, sizes.heads)
    }

    /// What is noted beside the tensors: what was there, what the network's sizes need, what the format asks for.
    private static func notes(
        of source: any WeightSource, _ format: ConversionFormat, _ configuration: HostBytes?, heads: Int?
    ) -> ([String: String], [String: GGUFValue]) {
        let replaced: Set = ["_quantization_metadata", "format", "config", "wan.attention.head_count"]
        var text = source.annotations.filter { !$0.key.hasPrefix("general.") && !replaced.contains($0.key) }
        text["config"] = configuration?.withBytes { String(validating: $0, as: UTF8.self) }
        if !format.isGGUF {
            text["format"] = "pt"
            return (text, [:])
        }
        var values: [String: GGUFValue] = text.mapValues { .string($0) }
        values["general.architecture"] = .string("wan")
        values["general.quantization_version"] = .integer(2)
        values["general.file_type"] = format.ggufFileType.map { .integer($0) }
        // Heads of another width than 128 follow from nothing else.
        values["wan.attention.head_count"] = heads.map { .integer($0) }
        return ([:], values)
    }

    private static func remarks(_ source: any WeightSource, _ format: ConversionFormat, _ items: [Item]) -> [String] {
        var remarks: [String] = []
        let quantized = items.filter { item in
            // A tokenizer takes a byte for each value and is none.
            guard let info = source.info(item.source), info.dtype.isFloatingPoint else { return false }
            return info.dtype.blockElements > 1 || info.storedBytes < 2 * info.shape.count
        }
        if !quantized.isEmpty {
            remarks.append(
                "\(quantized.count) weights are quantised already: what they lost stays lost, and rounding them again loses a little more."
            )
        }
        let odd = items.filter {
            format.isQuantized && $0.dtype != format.dtype && $0.shape.rank == 2 && $0.name.hasPrefix("blocks.")
                && $0.name.hasSuffix(".weight") && ($0.shape.extents.last ?? 0) % format.dtype.blockElements != 0
        }
        if !odd.isEmpty {
            remarks.append("\(odd.count) weights have rows that are no whole blocks, and stay in 16 bits.")
        }
        return remarks
    }

    /// Refuses values that the output could not hold.
    private func check(_ tensor: HostTensor, _ item: Item) throws(SwanError) {
        guard tensor.dtype.isFloatingPoint else { return }
        let largest = try tensor.largestMagnitude()
        guard largest.isFinite else {
            let beyond = tensor.dtype == .float64 ? ", infinite or beyond float32" : " or infinite"
            throw Self.refusal(
                "tensor '\(item.source.printable())' holds values that are no numbers\(beyond)",
                advice: "The file is damaged: fetch it again.")
        }
        guard item.scales == nil, let limit = Self.limits[item.dtype], largest > limit else { return }
        let advice =
            switch item.dtype {
            case .float16: "Choose \(format.isGGUF ? "gguf-bf16" : "bf16")."
            case .float8E4M3: "Choose fp8_scaled or fp8-row."
            case .bfloat16: "Choose fp32."
            default: "Choose gguf-bf16, or fp8-row."
            }
        throw Self.refusal(
            "tensor '\(item.source.printable())' has values up to \(largest), and \(item.dtype.rawValue) ends at \(limit)",
            advice: advice)
    }

    /// The largest magnitudes that types hold. In blocks it is that of the float16 scale, the largest magnitude over as
    /// many steps, or of the float16 minimum.
    ///
    /// Source: ggml-org/ggml `src/ggml-quants.c`, `quantize_row_q8_0_ref` and its like.
    private static let limits: [DType: Float] = [
        .float16: 65504, .bfloat16: 0x1.fep127, .float8E4M3: 448, .q80: 127 * 65504, .q50: 16 * 65504,
        .q40: 8 * 65504, .q51: 65504, .q41: 65504,
    ]
}

extension SwanError.Code {
    /// A conversion that makes no sense, or whose format cannot hold a value.
    public static let conversionRefused = Self("pipeline.conversion", .usage)
}

extension HostTensor {
    /// The values in a type; as they are where it is theirs.
    fileprivate func converted(to dtype: DType) throws(SwanError) -> HostTensor {
        self.dtype.isFloatingPoint ? try rounded(to: dtype) : self
    }
}
