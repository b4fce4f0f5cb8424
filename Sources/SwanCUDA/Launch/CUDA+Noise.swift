import SwanDiagnostics
import SwanTensor

extension CUDABackend {
    /// Writes noise into a tensor, in the tensor's own type.
    func fill(_ target: Tensor, with noise: Noise, on queue: Queue) throws(SwanError) {
        let count = target.shape.count
        guard count > 0 else { return }
        try launch(
            .noise(count: count, type: target.dtype, isAligned: isAligned(target)), [address(target)],
            [
                .index(count), .index(noise.first), .index(Int(noise.seed)), .float(noise.mean), .float(noise.scale),
            ], on: queue)
    }
}
