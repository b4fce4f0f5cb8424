import SwanTensor

/// The element types of GGUF, with the size of their blocks.
///
/// Source: ggml-org/ggml `include/ggml.h`, `enum ggml_type`; ggml-org/llama.cpp
/// `gguf-py/gguf/constants.py`, `GGML_QUANT_SIZES`. The types that occur in memory only (Q8_1, Q8_K) and
/// those that were withdrawn are left out.
struct GGUFType: Sendable {
    let name: String
    /// Elements per block.
    let elements: Int
    /// Bytes per block.
    let bytes: Int
    /// Our type, or nil for those whose values we do not read.
    let dtype: DType?

    private init(_ name: String, _ elements: Int, _ bytes: Int, _ dtype: DType? = nil) {
        self.name = name
        self.elements = elements
        self.bytes = bytes
        self.dtype = dtype
    }

    /// The type of this number, or nil when there is none.
    init?(_ id: UInt32) {
        switch id {
        case 0: self.init("F32", 1, 4, .float32)
        case 1: self.init("F16", 1, 2, .float16)
        case 2: self.init("Q4_0", 32, 18, .q40)
        case 3: self.init("Q4_1", 32, 20, .q41)
        case 6: self.init("Q5_0", 32, 22, .q50)
        case 7: self.init("Q5_1", 32, 24, .q51)
        case 8: self.init("Q8_0", 32, 34, .q80)
        case 10: self.init("Q2_K", 256, 84, .q2K)
        case 11: self.init("Q3_K", 256, 110, .q3K)
        case 12: self.init("Q4_K", 256, 144, .q4K)
        case 13: self.init("Q5_K", 256, 176, .q5K)
        case 14: self.init("Q6_K", 256, 210, .q6K)
        case 16: self.init("IQ2_XXS", 256, 66)
        case 17: self.init("IQ2_XS", 256, 74)
        case 18: self.init("IQ3_XXS", 256, 98)
        case 19: self.init("IQ1_S", 256, 50)
        case 20: self.init("IQ4_NL", 32, 18, .iq4NL)
        case 21: self.init("IQ3_S", 256, 110)
        case 22: self.init("IQ2_S", 256, 82)
        case 23: self.init("IQ4_XS", 256, 136, .iq4XS)
        case 24: self.init("I8", 1, 1, .int8)
        case 25: self.init("I16", 1, 2, .int16)
        case 26: self.init("I32", 1, 4, .int32)
        case 27: self.init("I64", 1, 8, .int64)
        case 28: self.init("F64", 1, 8, .float64)
        case 29: self.init("IQ1_M", 256, 56)
        case 30: self.init("BF16", 1, 2, .bfloat16)
        case 34: self.init("TQ1_0", 256, 54)
        case 35: self.init("TQ2_0", 256, 66)
        case 39: self.init("MXFP4", 32, 17)
        case 40: self.init("NVFP4", 64, 36)
        default: return nil
        }
    }

    /// The number of the type that stands for `dtype`, or nil when the format has none.
    static func id(_ dtype: DType) -> UInt32? { ids[dtype] }

    private static let ids: [DType: UInt32] = Dictionary(
        (0 ..< 64).compactMap { (id: UInt32) in GGUFType(id)?.dtype.map { ($0, id) } },
        uniquingKeysWith: { first, _ in first })
}
