public import SwanDiagnostics
public import SwanTensor

/// How a file says that its weights are to be multiplied by scales.
public enum ScaleConvention: String, Sendable, Hashable, Codable {
    /// `X.scale_weight` beside each weight, and the marker `scaled_fp8`: ComfyUI's older files, Kijai's.
    case comfyMarker = "ComfyUI scaled"
    /// `X.weight_scale`, and what each layer is in `X.comfy_quant` or in the note `_quantization_metadata`.
    case comfyMetadata = "ComfyUI quantisation metadata"
    /// `X.weight_scale` with one number for each output: LightX2V.
    case perRow = "scales per row"
    /// `X.weight_scale` with one number: NVIDIA ModelOpt, as diffusers writes it.
    case perTensor = "scales per tensor"
    /// `X.weight_scale` with one number for each block of a matrix.
    case perBlock = "scales per block"
}

/// Weights in eight bits and the scales beside them, seen as the numbers that they stand for: float32, under the names
/// that the model knows. Scales, markers and the like are not among the names.
///
/// Which convention a file follows is told from its tensors and notes, never from its name. A device that multiplies
/// eight bits finds the parts in `SwanTensor.HostTensor.quantized`.
///
/// Source: Comfy-Org/ComfyUI `QUANTIZATION.md` and `comfy/ops.py`, `scaled_fp8_ops`; ModelTC/LightX2V `tools/convert`.
public struct ScaledWeights: WeightSource {
    /// What one layer's weight needs.
    private struct Layer {
        var dtype: DType
        /// The tensor with the scales; nil where a scale of 1 was found beside a weight that needs none.
        var scale: String?
        var granularity: QuantizedWeight.Granularity
        var inputScale: String?
    }

    private let base: any WeightSource
    /// By the weight's name.
    private let layers: [String: Layer]
    /// How the file says it.
    public let convention: ScaleConvention
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public var origin: String { base.origin }
    /// What the file's writer noted beside the tensors.
    public var annotations: [String: String] { base.annotations }

    /// How many weights are multiplied by scales.
    public var scaledCount: Int { layers.values.filter { $0.scale != nil }.count }

    /// Whether a weight is multiplied by scales.
    func isScaled(_ name: String) -> Bool { layers[name]?.scale != nil }

    /// Shows a file's weights as the numbers that they stand for: as they are where nothing is to be multiplied.
    ///
    /// - Throws: `checkpoint.scales` where scales and weights do not belong together: a scale without a weight or
    ///   for one that is no eight-bit weight, two scales for one, eight bits that lack theirs, other shapes than a
    ///   weight's; `checkpoint.unsupported` for a convention that is not read.
    public static func resolving(_ source: any WeightSource) throws(SwanError) -> any WeightSource {
        try ScaledWeights(source) ?? source
    }

    /// See ``resolving(_:)``; nil where there is nothing to multiply.
    public init?(_ source: any WeightSource) throws(SwanError) {
        var reading = try Reading(source)
        guard try reading.readLayers() else { return nil }
        base = source
        layers = reading.layers
        convention = reading.convention
        names = source.names.filter { !reading.used.contains($0) }
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? {
        guard let layer = layers[name], let scale = layer.scale else { return base.info(name) }
        guard let payload = base.info(name) else { return nil }
        let scales = base.info(scale)?.storedBytes ?? 0
        return TensorInfo(payload.shape, .float32, storedBytes: payload.storedBytes + scales)
    }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? { base.unsupported(name) }

    /// The values of a tensor.
    ///
    /// - Throws: also `checkpoint.scales` for a scale that is no number.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        let tensor = try base.tensor(name)
        guard let layer = layers[name], let scale = layer.scale else { return tensor }
        let scales = try base.tensor(scale).floats()
        guard scales.allSatisfy(\.isFinite) else {
            throw Reading.fault(base, "the scales '\(scale.printable())' hold a value that is no number")
        }
        // One that is 1 means that nobody calibrated it.
        var inputScale: Float?
        if let name = layer.inputScale, let value = try base.tensor(name).floats().first, value.isFinite, value > 0,
            value != 1
        {
            inputScale = value
        }
        return HostTensor(
            try QuantizedWeight(
                tensor.shape, layer.dtype, tensor.bytes, scales: scales, layer.granularity, inputScale: inputScale))
    }
}

extension ScaledWeights {
    /// What a file says about scales, gathered from its names and notes.
    private struct Reading {
        let source: any WeightSource
        private let names: Set<String>
        /// What notes say of layers, by their paths.
        private var configurations: [String: [String: JSONValue]] = [:]
        private var markers: [String] = []
        var layers: [String: Layer] = [:]
        /// Names that are no tensors of the model.
        var used: Set<String> = []
        var convention = ScaleConvention.perTensor

        init(_ source: any WeightSource) throws(SwanError) {
            self.source = source
            names = Set(source.names)
            try readConfigurations()
        }

        static func fault(
            _ source: any WeightSource, _ problem: String, _ code: SwanError.Code = .scales,
            advice: String = "The file is damaged or was converted badly: fetch it again, or use another."
        ) -> SwanError {
            SwanError(code, "\(source.origin): \(problem).", advice: advice)
        }

        /// Markers, and what ComfyUI's notes say of each layer.
        private mutating func readConfigurations() throws(SwanError) {
            if let text = source.annotations["_quantization_metadata"] {
                let bytes = Array(text.utf8)
                let root = try JSONScanner.parse(
                    bytes.withUnsafeBytes { HostBytes(copying: $0) }, origin: "\(source.origin), _quantization_metadata"
                )
                guard case .object(let members) = root, case .object(let entries) = members["layers"] else {
                    throw Self.fault(source, "the note _quantization_metadata has no layers")
                }
                for (layer, value) in entries { try note(value, of: layer) }
            }
            for name in source.names {
                let last = name.split(separator: ".").last ?? ""
                if last == "scaled_fp8" {
                    markers.append(name)
                    used.insert(name)
                } else if name.hasSuffix(".comfy_quant") {
                    let bytes = try source.tensor(name).bytes
                    let value = try JSONScanner.parse(bytes, origin: "\(source.origin), '\(name.printable())'")
                    try note(value, of: String(name.dropLast(".comfy_quant".count)))
                    used.insert(name)
                }
            }
        }

        private mutating func note(_ value: JSONValue, of layer: String) throws(SwanError) {
            guard case .object(let fields) = value else {
                throw Self.fault(source, "what is noted of layer '\(layer.printable())' is no JSON object")
            }
            if let other = configurations.updateValue(fields, forKey: layer), other["format"] != fields["format"] {
                throw Self.fault(source, "two notes say different things of layer '\(layer.printable())'")
            }
        }

        /// - Returns: whether there is anything to multiply, or to leave out.
        mutating func readLayers() throws(SwanError) -> Bool {
            for name in source.names {
                for suffix in [".weight_scale_2", ".pre_quant_scale", ".weight_scale_inv", ".weight_zero_point"]
                where name.hasSuffix(suffix) {
                    throw Self.fault(
                        source, "'\(name.printable())' belongs to a quantisation that this version does not read",
                        .unsupported, advice: SwanError.supportedScales)
                }
            }
            for name in source.names {
                if let layer = name.dropping(".scale_weight") {
                    try add(layer, scale: name, isMarkerStyle: true)
                } else if let layer = name.dropping(".weight_scale") {
                    try add(layer, scale: name, isMarkerStyle: false)
                }
            }
            for (layer, fields) in configurations.sorted(by: { $0.key < $1.key }) {
                _ = try Self.format(fields, of: layer, source)
                guard layers[layer + ".weight"] != nil else {
                    throw Self.fault(source, "layer '\(layer.printable())' is noted as quantised and has no scale")
                }
            }
            try takeInputScales()
            try refuseWhatLacksScales()
            if !markers.isEmpty {
                convention = .comfyMarker
            } else if !configurations.isEmpty {
                convention = .comfyMetadata
            } else if let first = layers.values.first(where: { $0.scale != nil }) {
                switch first.granularity {
                case .tensor: convention = .perTensor
                case .row: convention = .perRow
                case .block: convention = .perBlock
                }
            }
            return !used.isEmpty
        }

        private mutating func add(_ path: String, scale: String, isMarkerStyle: Bool) throws(SwanError) {
            let weight = path + ".weight"
            let shown = "'\(path.printable())'"
            guard let info = source.info(weight), let scales = source.info(scale) else {
                throw Self.fault(source, "there are scales for layer \(shown) and no weight")
            }
            guard layers[weight] == nil else {
                throw Self.fault(
                    source,
                    "layer \(shown) has both a scale_weight and a weight_scale: applied together they would scale it twice"
                )
            }
            guard scales.dtype.isFloatingPoint else {
                throw Self.fault(source, "the scales of layer \(shown) are of type \(scales.dtype), expected float32")
            }
            used.insert(scale)
            let fields = configurations[path]
            let format = try fields.map { (fields) throws(SwanError) in try Self.format(fields, of: path, source) }
            guard let dtype = try payload(info.dtype, format, path) else {
                // A weight in full precision with a scale of 1 is what it is; with any other it is unclear which it is.
                guard scales.shape.count == 1, try source.tensor(scale).floats() == [1] else {
                    throw Self.fault(
                        source,
                        "layer \(shown) is stored as \(info.dtype) and has a scale: its values may be scaled already, and scaling them twice would ruin them",
                        advice: "Convert the model again from weights without scales, or use another file.")
                }
                layers[weight] = Layer(dtype: info.dtype, scale: nil, granularity: .tensor)
                return
            }
            let granularity = try granularity(info.shape, scales.shape, fields, path)
            layers[weight] = Layer(dtype: dtype, scale: scale, granularity: granularity)
        }

        /// The type of the bytes of a weight with a scale; nil where it is stored in full precision.
        private func payload(_ stored: DType, _ format: DType?, _ path: String) throws(SwanError) -> DType? {
            guard let format else { return QuantizedWeight.types.contains(stored) ? stored : nil }
            // Older converters put float8 into plain bytes.
            if stored == format || (stored == .uint8 && format != .int8) { return format }
            guard stored.blockElements == 1, !QuantizedWeight.types.contains(stored), stored.isFloatingPoint else {
                throw Self.fault(
                    source, "layer '\(path.printable())' is noted as \(format) and stored as \(stored)")
            }
            return nil
        }

        /// The type that a note names.
        private static func format(
            _ fields: [String: JSONValue], of layer: String, _ source: any WeightSource
        ) throws(SwanError) -> DType {
            let known: Set = [
                "format", "full_precision_matrix_mult", "group_size", "per_channel", "orig_dtype", "orig_shape",
            ]
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) where !known.contains(key) {
                // Switched off, it says nothing.
                if value == .bool(false) || value == .null { continue }
                throw fault(
                    source,
                    "layer '\(layer.printable())' asks for '\(key.printable(limit: 60))', which this version does not do",
                    .unsupported, advice: SwanError.supportedScales)
            }
            switch fields["format"] {
            case .string("float8_e4m3fn"): return .float8E4M3
            case .string("float8_e5m2"): return .float8E5M2
            case .string("int8_tensorwise"), .string("int8_blockwise"): return .int8
            case .string(let other):
                throw fault(
                    source,
                    "layer '\(layer.printable())' is of the format '\(other.printable(limit: 60))', which this version does not read",
                    .unsupported, advice: SwanError.supportedScales)
            default: throw fault(source, "what is noted of layer '\(layer.printable())' names no format")
            }
        }

        private func granularity(
            _ weight: Shape, _ scales: Shape, _ fields: [String: JSONValue]?, _ path: String
        ) throws(SwanError) -> QuantizedWeight.Granularity {
            if scales.count == 1, scales.rank <= 2 { return .tensor }
            if weight.rank >= 1, scales.count == weight[0], scales.rank == 1 || scales[0] == weight[0] { return .row }
            var side = 128
            if case .integer(let size) = fields?["group_size"], (1 ... 1 << 20).contains(size) { side = size }
            let blocks = QuantizedWeight.Granularity.block(rows: side, columns: side)
            if weight.rank == 2, scales.rank == 2, scales[0] == QuantizedWeight.blocks(weight[0], of: side),
                scales.count == QuantizedWeight.scaleCount(weight, blocks)
            {
                return blocks
            }
            throw Self.fault(
                source,
                "layer '\(path.printable())' has scales of shape \(scales) for a weight of shape \(weight), expected one, one for each row, or one for each \(side)×\(side) block"
            )
        }

        private mutating func takeInputScales() throws(SwanError) {
            for name in source.names {
                guard let path = name.dropping(".scale_input") ?? name.dropping(".input_scale") else { continue }
                guard layers[path + ".weight"] != nil else {
                    throw Self.fault(
                        source, "layer '\(path.printable())' has a scale for its input and none for its weight")
                }
                guard source.info(name)?.shape.count == 1 else {
                    throw Self.fault(source, "'\(name.printable())' is not one number")
                }
                layers[path + ".weight"]?.inputScale = name
                used.insert(name)
            }
        }

        /// Eight-bit weights without scales in a file that has scales, and integers without any.
        private func refuseWhatLacksScales() throws(SwanError) {
            for name in source.names where layers[name] == nil {
                guard let path = name.dropping(".weight"), let info = source.info(name), info.shape.rank >= 2 else {
                    continue
                }
                let isScaledFile = !markers.isEmpty || !layers.isEmpty
                let isFloat8 = info.dtype == .float8E4M3 || info.dtype == .float8E5M2
                // Tables of embeddings are rounded without a scale, also where everything else has one.
                let isTable = ["shared", "embed_tokens", "token_embedding"].contains { path.hasSuffix($0) }
                guard info.dtype == .int8 || (isFloat8 && isScaledFile && !isTable) else { continue }
                throw Self.fault(
                    source,
                    "layer '\(path.printable())' is stored as \(info.dtype) and has no scale, so that its values are not known"
                )
            }
        }
    }
}

extension String {
    /// What stands before a suffix; nil without it.
    fileprivate func dropping(_ suffix: String) -> String? {
        hasSuffix(suffix) && count > suffix.count ? String(dropLast(suffix.count)) : nil
    }
}

extension SwanError {
    /// What is read, for a file that needs something else.
    static let supportedScales =
        "Eight bits are read with one scale for a weight, for each row or for each block. Use such a file, GGUF or bfloat16."
}
