package import SwanDiagnostics

/// A way to compute attention on a GPU. But for the last two they are exact: products of bfloat16, sums and softmax in
/// float32.
public enum AttentionKernel: String, Sendable, CaseIterable {
    /// Swan's, on Hopper's own instructions: 1.14 to 1.18 times as fast as cuDNN 9.19 there.
    case flashSM90 = "flash-sm90"
    /// NVIDIA's library.
    case cudnn
    /// Swan's, on the matrix instructions of Ampere and later; takes a bias.
    case flashSM80 = "flash-sm80"
    /// Swan's plain one; takes everything.
    case plain
    /// Swan's, on Hopper's instructions for whole numbers of eight bits: 1.5 times as fast as cuDNN 9.19, and not exact.
    case int8SM90 = "int8-sm90"
    /// The same numbers on the matrix instructions of Ampere and later.
    case int8SM80 = "int8-sm80"

    /// Whether its errors are those of rounding to bfloat16; the others run only where they are asked for, by name
    /// or by a profile.
    public var isExact: Bool {
        switch self {
        case .flashSM90, .cudnn, .flashSM80, .plain: true
        case .int8SM90, .int8SM80: false
        }
    }

    /// The names, for messages.
    public static var names: String { allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ") }

    /// The fastest first, behind the one that was asked for.
    ///
    /// - Parameters:
    ///   - facts: of the GPU.
    ///   - isImitating: whether it stands for one of an earlier generation.
    ///   - hasTileMaps: whether the driver can make maps of tiles.
    ///   - hasGraphLibrary: whether cuDNN is there.
    /// - Throws: `cuda.unsupported` where the one that was asked for cannot run at all.
    package static func order(
        _ wanted: AttentionKernel?, facts: DeviceFacts, isImitating: Bool, hasTileMaps: Bool, hasGraphLibrary: Bool
    ) throws(SwanError) -> [AttentionKernel] {
        var missing: [AttentionKernel: String] = [:]
        for kernel in [flashSM90, int8SM90] {
            if facts.capability != ComputeCapability(9, 0) || isImitating {
                missing[kernel] = "a GPU of compute capability 9.0, and \(facts.name) has \(facts.capability)"
            } else if !hasTileMaps {
                missing[kernel] = "a driver for CUDA 12 or later"
            }
        }
        if !hasGraphLibrary { missing[.cudnn] = "cuDNN, which is not there" }
        if let wanted, let need = missing[wanted] {
            throw SwanError(
                .cudaUnsupported, "Attention by \(wanted.rawValue) needs \(need).",
                advice: "'swan doctor' lists what this machine has; 'auto' takes the fastest that runs.")
        }
        let able = allCases.filter { missing[$0] == nil && ($0.isExact || $0 == wanted) }
        return able.filter { $0 == wanted } + able.filter { $0 != wanted }
    }

    /// Keys below which cuDNN is faster than ``flashSM90``, whose softmax runs under the products of other tiles: with the
    /// three tiles of 512 keys little of it does (306 against 492 TFLOP/s, H200). Those in eight bits leave them to others.
    static let fewKeys = 2048

    /// Whether a call's shapes are among those that the kernel is made for.
    func takes(width: Int, heads: Int, keys: Int, hasBias: Bool, isAligned: Bool, scale: Float) -> Bool {
        switch self {
        case .flashSM90: width == 128 && heads < 1 << 16 && !hasBias && isAligned && scale > 0
        // Few keys, as those of a text, are not worth the rounding.
        case .int8SM90, .int8SM80:
            keys >= Self.fewKeys
                && Self.flashSM90.takes(
                    width: width, heads: heads, keys: keys, hasBias: hasBias, isAligned: isAligned, scale: scale)
        case .cudnn: !hasBias && isAligned
        case .flashSM80: isAligned
        case .plain: true
        }
    }
}
