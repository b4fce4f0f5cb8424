public import SwanDiagnostics
public import SwanTensor

extension ReferenceBackend {
    /// See `LatentOps.patchify(_:patch:)`.
    public func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(latent: latent, patch: patch)
        let source = try floats(latent)
        let (result, target) = try result([shapes.tokens, shapes.features])
        forEachElement(of: shapes) { token, channel, place, latentIndex in
            target[token * shapes.features + channel * patch.volume + place] = source[latentIndex]
        }
        return result
    }

    /// See `LatentOps.unpatchify(_:patch:shape:)`.
    public func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(x: x, patch: patch, shape: shape, activation: activationType)
        let source = try floats(x)
        let (result, target) = try result(shape)
        forEachElement(of: shapes) { token, channel, place, latentIndex in
            target[latentIndex] = source[token * shapes.features + place * shapes.channels + channel]
        }
        return result
    }

    /// See `LatentOps.linearCombination(_:)`.
    public func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor {
        let shape = try CombinationShapes(terms).shape
        let (result, target) = try result(shape)
        for (index, term) in terms.enumerated() {
            let source = try floats(term.tensor)
            for i in 0 ..< shape.count {
                target[i] = index == 0 ? term.coefficient * source[i] : target[i] + term.coefficient * source[i]
            }
        }
        return result
    }

    /// Calls `body` for each element of a latent with its token, its channel, its place inside the
    /// patch (frame, row, column) and its index in the latent.
    private func forEachElement(of shapes: PatchShapes, _ body: (Int, Int, Int, Int) -> Void) {
        let (patch, grid) = (shapes.patch, shapes.grid)
        for channel in 0 ..< shapes.channels {
            for frame in 0 ..< shapes.frames {
                for row in 0 ..< shapes.height {
                    for column in 0 ..< shapes.width {
                        let token =
                            (frame / patch.frames * grid.height + row / patch.height) * grid.width
                            + column / patch.width
                        let place =
                            (frame % patch.frames * patch.height + row % patch.height) * patch.width
                            + column % patch.width
                        let index =
                            ((channel * shapes.frames + frame) * shapes.height + row) * shapes.width + column
                        body(token, channel, place, index)
                    }
                }
            }
        }
    }
}
