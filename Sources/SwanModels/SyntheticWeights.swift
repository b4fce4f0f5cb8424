public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// Random weights of a network's shapes, which take no memory until they are used: for measurements, where speed and
/// memory are those of a real model and the picture does not matter.
///
/// Sized so that values keep theirs through any number of layers: matrices and kernels have the deviation
/// `1 / sqrt(inputs)`, gains lie around 1, biases and modulations are small. Nothing is zero: products of zeros are
/// faster than those of data.
///
/// With outliers, every 512th channel that goes into a linear layer of a Wan transformer's blocks is some 20 times the
/// others, as a few channels of trained models are: what rounding to few bits is hard on.
public struct SyntheticWeights: WeightSource {
    private let shapes: [String: Shape]
    private let dtype: DType
    private let seeds: [String: UInt32]
    private let hasOutliers: Bool
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin = "synthetic weights"

    /// - Parameters:
    ///   - shapes: every tensor of the network, in official names, as in ``WanConfiguration/tensorShapes``.
    ///   - dtype: bfloat16 or float32.
    ///   - seed: other weights for each.
    ///   - hasOutliers: whether some channels are much larger than others.
    public init(
        _ shapes: [String: Shape], _ dtype: DType = .bfloat16, seed: UInt32 = 0, hasOutliers: Bool = false
    ) {
        self.shapes = shapes
        self.hasOutliers = hasOutliers
        self.dtype = dtype
        let names = shapes.keys.sorted()
        self.names = names
        // Tensors of one network are numbered; networks are far apart.
        let pairs = names.enumerated().map { ($1, seed &* 65_536 &+ UInt32(truncatingIfNeeded: $0)) }
        seeds = Dictionary(pairs) { first, _ in first }
    }

    /// The shape and type of a tensor, or nil.
    public func info(_ name: String) -> TensorInfo? {
        shapes[name].map { TensorInfo($0, outlier(name) == nil ? dtype : .float32) }
    }

    /// The values of a tensor; see `WeightSource.tensor(_:)` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let shape = shapes[name], let seed = seeds[name] else { throw .tensorMissing(name, in: self) }
        let tensor = HostTensor(shape, dtype, Self.noise(name, shape, seed))
        guard let outlier = outlier(name), let width = shape.extents.last else { return tensor }
        var values = try tensor.floats()
        for place in values.indices
        where place % width % 512 == 100 && outlier.rows.contains(place / width) { values[place] += outlier.size }
        return HostTensor(shape, values)
    }

    /// What is added to every 512th channel of some rows of a tensor; nil for none.
    private func outlier(_ name: String) -> (rows: Set<Int>, size: Float)? {
        guard hasOutliers, name.hasPrefix("blocks.") else { return nil }
        // The scales in front of self-attention and of the feed-forward; what stands in front of the other layers.
        if name.hasSuffix(".modulation") { return ([1, 4], 20) }
        if name.hasSuffix(".norm3.weight") { return ([0], 20) }
        return name.hasSuffix(".v.bias") || name.hasSuffix(".ffn.0.bias") ? ([0], 10) : nil
    }

    private static func noise(_ name: String, _ shape: Shape, _ seed: UInt32) -> Noise {
        if name.hasSuffix("bias") || name.hasSuffix("modulation") { return Noise(seed: seed, deviation: 0.02) }
        if name.hasSuffix("gamma") || shape.rank == 1 { return Noise(seed: seed, deviation: 0.02, mean: 1) }
        return Noise(seed: seed, deviation: 1 / Float(max(shape.rowCount, 1)).squareRoot())
    }
}
