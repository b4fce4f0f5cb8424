import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

extension CPUBackend {
    /// See `LatentOps.patchify(_:patch:)`.
    public func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(latent: latent, patch: patch)
        let source = try floats(latent)
        let (result, target) = try result([shapes.tokens, shapes.features])
        forEachPatchRow(of: shapes) { token, channel, place, latentIndex in
            let to = target + token * shapes.features + channel * patch.volume + place
            for column in 0 ..< patch.width { to[column] = source[latentIndex + column] }
        }
        return result
    }

    /// See `LatentOps.unpatchify(_:patch:shape:)`.
    public func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(x: x, patch: patch, shape: shape, activation: activationType)
        let source = try floats(x)
        let (result, target) = try result(shape)
        forEachPatchRow(of: shapes) { token, channel, place, latentIndex in
            let from = source + token * shapes.features + place * shapes.channels + channel
            for column in 0 ..< patch.width { target[latentIndex + column] = from[column * shapes.channels] }
        }
        return result
    }

    /// Calls `body` for each row of each patch with its token, its channel, its first place inside the
    /// patch and the index of that place in the latent.
    private func forEachPatchRow(of shapes: PatchShapes, _ body: (Int, Int, Int, Int) -> Void) {
        let (patch, grid) = (shapes.patch, shapes.grid)
        forEachRange(of: shapes.tokens, size: 2 * shapes.features) { tokens in
            for token in tokens {
                let frame = token / (grid.height * grid.width) * patch.frames
                let row = token / grid.width % grid.height * patch.height
                let column = token % grid.width * patch.width
                for channel in 0 ..< shapes.channels {
                    for t in 0 ..< patch.frames {
                        for y in 0 ..< patch.height {
                            let line = (channel * shapes.frames + frame + t) * shapes.height + row + y
                            body(token, channel, (t * patch.height + y) * patch.width, line * shapes.width + column)
                        }
                    }
                }
            }
        }
    }

    /// See `LatentOps.linearCombination(_:)`.
    public func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor {
        let shape = try CombinationShapes(terms).shape
        let sources = try terms.map { (term) throws(SwanError) in try floats(term.tensor) }
        let (result, target) = try result(shape)
        let kernels = kernels
        forEachRange(of: shape.count, size: terms.count + 1) { range in
            for (index, source) in sources.enumerated() {
                kernels.scale(
                    target + range.lowerBound, source + range.lowerBound, terms[index].coefficient, range.count,
                    index > 0)
            }
        }
        return result
    }
}
