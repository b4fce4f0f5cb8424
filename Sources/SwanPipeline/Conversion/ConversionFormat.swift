import SwanTensor

/// What `swan convert` writes: published formats, by the names that their users know.
public enum ConversionFormat: String, Sendable, Hashable, Codable, CaseIterable {
    case fp32, bf16, fp16
    /// Layers' weights in float8 without a scale.
    case fp8
    /// Layers' weights in float8 with a scale each: ComfyUI's `fp8_scaled`.
    case fp8Scaled = "fp8_scaled"
    /// Layers' weights in float8 with a scale for each row: LightX2V.
    case fp8Row = "fp8-row"
    /// Layers' weights in int8 with a scale for each row: LightX2V.
    case int8Row = "int8-row"
    /// GGUF, layers' weights in blocks.
    case ggufQ80 = "gguf-q8_0"
    case ggufQ51 = "gguf-q5_1"
    case ggufQ50 = "gguf-q5_0"
    case ggufQ41 = "gguf-q4_1"
    case ggufQ40 = "gguf-q4_0"
    /// GGUF without quantisation.
    case ggufBF16 = "gguf-bf16"
    case ggufF16 = "gguf-f16"

    /// Whether the file is a GGUF file.
    public var isGGUF: Bool { rawValue.hasPrefix("gguf-") }

    /// The element type of layers' weights.
    var dtype: DType {
        switch self {
        case .fp32: .float32
        case .bf16, .ggufBF16: .bfloat16
        case .fp16, .ggufF16: .float16
        case .fp8, .fp8Scaled, .fp8Row: .float8E4M3
        case .int8Row: .int8
        case .ggufQ80: .q80
        case .ggufQ51: .q51
        case .ggufQ50: .q50
        case .ggufQ41: .q41
        case .ggufQ40: .q40
        }
    }

    /// Whether only the weights of blocks' layers get the type, and everything else stays in 16 or 32 bits.
    var isQuantized: Bool {
        switch self {
        case .fp32, .bf16, .fp16, .ggufBF16, .ggufF16: false
        default: true
        }
    }

    /// Which elements share a scale that stands in a tensor of its own; nil without such scales.
    var granularity: QuantizedWeight.Granularity? {
        switch self {
        case .fp8Scaled: .tensor
        case .fp8Row, .int8Row: .row
        default: nil
        }
    }

    /// `general.file_type` of GGUF.
    ///
    /// Source: ggml-org/llama.cpp `gguf-py/gguf/constants.py`, `LlamaFileType`.
    var ggufFileType: Int? {
        switch self {
        case .ggufF16: 1
        case .ggufQ40: 2
        case .ggufQ41: 3
        case .ggufQ80: 7
        case .ggufQ50: 8
        case .ggufQ51: 9
        case .ggufBF16: 32
        default: nil
        }
    }
}
