public import SwanDiagnostics
public import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension ReferenceBackend {
    /// See `AttentionOps.attention(q:k:v:scale:bias:)`.
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        let shapes = try AttentionShapes(q: q, k: k, v: v, bias: bias, activation: activationType)
        let (width, rowWidth) = (shapes.width, shapes.heads * shapes.width)
        let (q, k, v) = (try floats(q), try floats(k), try floats(v))
        let biasValues: Floats? = if let bias { try floats(bias) } else { nil }
        let (result, target) = try result([shapes.queries, shapes.heads, width])
        var weights = [Double](repeating: 0, count: shapes.keys)
        for head in 0 ..< shapes.heads {
            for query in 0 ..< shapes.queries {
                let first = query * rowWidth + head * width
                for key in 0 ..< shapes.keys {
                    var logit = 0.0
                    for i in 0 ..< width {
                        logit += Double(q[first + i]) * Double(k[key * rowWidth + head * width + i])
                    }
                    logit *= Double(scale)
                    if let biasValues {
                        logit += Double(
                            biasValues[head * shapes.biasHeadStride + query * shapes.biasQueryStride + key])
                    }
                    weights[key] = logit
                }
                let largest = weights.reduce(-Double.infinity) { max($0, $1) }
                for key in weights.indices { weights[key] = exp(weights[key] - largest) }
                let sum = weights.reduce(0, +)
                var values = [Double](repeating: 0, count: width)
                for key in 0 ..< shapes.keys {
                    for i in 0 ..< width { values[i] += weights[key] * Double(v[key * rowWidth + head * width + i]) }
                }
                for i in 0 ..< width { target[first + i] = Float(values[i] / sum) }
            }
        }
        return result
    }
}
