import Glibc
public import SwanDiagnostics
public import SwanTensor

/// The tokens of a video: latent frames, rows and columns after the patch embedding.
public struct TokenGrid: Sendable, Hashable {
    /// Tokens in each direction.
    public let frames, height, width: Int

    /// Makes a grid; each extent is at least 1.
    public init(frames: Int, height: Int, width: Int) {
        self.frames = frames
        self.height = height
        self.width = width
    }

    /// The number of tokens.
    public var count: Int { frames * height * width }
}

extension RotaryTable {
    /// The angles of Wan's rotary position embedding for each token of a grid.
    ///
    /// Of the `C = headWidth / 2` channel pairs of a head, the first `C - 2 * (C / 3)` turn with the
    /// frame, the next `C / 3` with the row and the last `C / 3` with the column. Each axis has its
    /// own ladder of frequencies, `theta^(-j / K)` for pair `j` of `K`. Computed in float64.
    ///
    /// - Parameter headWidth: even, at least 6.
    ///
    /// Source: Wan2.2 `wan/modules/model.py`, `rope_params` and `rope_apply`.
    public static func video(_ grid: TokenGrid, headWidth: Int, theta: Double = 10000, on backend: any Backend)
        throws(SwanError) -> RotaryTable
    {
        let pairs = headWidth / 2
        let third = pairs / 3
        let frame = ladder(positions: grid.frames, pairs: pairs - 2 * third, theta: theta)
        let row = ladder(positions: grid.height, pairs: third, theta: theta)
        let column = ladder(positions: grid.width, pairs: third, theta: theta)

        var cosines: [Float] = []
        var sines: [Float] = []
        cosines.reserveCapacity(grid.count * pairs)
        sines.reserveCapacity(grid.count * pairs)
        for i in 0 ..< grid.frames {
            for j in 0 ..< grid.height {
                for k in 0 ..< grid.width {
                    for axis in [frame[i], row[j], column[k]] {
                        cosines += axis.cosines
                        sines += axis.sines
                    }
                }
            }
        }
        let shape: Shape = [grid.count, pairs]
        return try RotaryTable(
            cosines: backend.upload(HostTensor(shape, cosines), as: .float32),
            sines: backend.upload(HostTensor(shape, sines), as: .float32))
    }

    /// The angle of each pair at each position of one axis: many tokens share a position.
    private static func ladder(
        positions: Int, pairs: Int, theta: Double
    ) -> [(cosines: [Float], sines: [Float])] {
        (0 ..< positions).map { position in
            let angles = (0 ..< pairs).map { Double(position) * pow(theta, -Double($0) / Double(pairs)) }
            return (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
        }
    }
}

/// The sinusoidal embedding of timesteps: cosines first, then sines, of `t * 10000^(-i / half)`.
///
/// - Parameters:
///   - timesteps: on the scale 0 … 1000; never rounded before this, since bfloat16 turns 999 into 1000.
///   - width: even number of features.
/// - Returns: float32 `[timesteps.count, width]`; computed in float64.
///
/// Source: Wan2.2 `wan/modules/model.py`, `sinusoidal_embedding_1d`.
public func sinusoid(_ timesteps: [Double], width: Int) -> HostTensor {
    let half = width / 2
    var values: [Float] = []
    values.reserveCapacity(timesteps.count * width)
    for t in timesteps {
        let angles = (0 ..< half).map { t * pow(10000, -Double($0) / Double(half)) }
        values += angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
    }
    return HostTensor([timesteps.count, width], values)
}
