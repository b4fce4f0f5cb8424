import SwanTensor

/// Whether a shape may tell the sizes of a model: nothing is empty, and no extent is so large that sizes made
/// from it could overflow. The largest published is the vocabulary of 256,384.
func isPlausible(_ shape: Shape) -> Bool {
    shape.extents.allSatisfy { (1 ... 1 << 20).contains($0) }
}
