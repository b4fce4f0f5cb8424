public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// See `LatentOps.patchify(_:patch:)`.
    public func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(latent: latent, patch: patch)
        let y = try allocate([shapes.tokens, shapes.features], activationType)
        try launch(
            .patchify(count: latent.shape.count, patch: patch), [address(latent), address(y)], extents(shapes))
        return y
    }

    /// See `LatentOps.unpatchify(_:patch:shape:)`.
    public func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor {
        let shapes = try PatchShapes(x: x, patch: patch, shape: shape, activation: activationType)
        let y = try allocate(shape, .float32)
        try launch(
            .unpatchify(count: shape.count, patch: patch, input: x.dtype), [address(x), address(y)], extents(shapes))
        return y
    }

    private func extents(_ shapes: PatchShapes) -> [KernelArgument] {
        [.count(shapes.channels), .count(shapes.frames), .count(shapes.height), .count(shapes.width)]
    }

    /// See `LatentOps.linearCombination(_:)`. More terms than a launch takes continue on its result, which
    /// gives the same bits.
    public func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor {
        let shape = try CombinationShapes(terms).shape
        var result = try combined(Array(terms.prefix(KernelPlan.mostTerms)), shape)
        var rest = terms.dropFirst(KernelPlan.mostTerms)
        while !rest.isEmpty {
            let next = rest.prefix(KernelPlan.mostTerms - 1)
            result = try combined([(coefficient: Float(1), tensor: result)] + next, shape)
            rest = rest.dropFirst(next.count)
        }
        return result
    }

    private func combined(_ terms: [(coefficient: Float, tensor: Tensor)], _ shape: Shape) throws(SwanError) -> Tensor {
        let result = try allocate(shape, .float32)
        guard shape.count > 0 else { return result }
        var addresses: [UInt64] = []
        var aligned = true
        for term in terms {
            addresses.append(try address(term.tensor))
            if try !isAligned(term.tensor) { aligned = false }
        }
        // Arguments beyond the terms are not read.
        var coefficients = terms.map { KernelArgument.float($0.coefficient) }
        while addresses.count < KernelPlan.mostTerms {
            addresses.append(0)
            coefficients.append(.float(0))
        }
        try launch(
            .linearCombination(count: shape.count, terms: terms.count, isAligned: aligned), addresses,
            coefficients + [.address(address(result)), .index(shape.count)])
        return result
    }
}
