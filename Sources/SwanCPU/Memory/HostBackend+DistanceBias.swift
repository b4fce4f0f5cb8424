public import SwanDiagnostics
public import SwanTensor

extension HostBackend {
    /// See `AttentionOps.distanceBias(_:buckets:)`. Once a prompt: not worth threads.
    public func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor {
        let shapes = try DistanceBiasShapes(table: table, buckets: buckets)
        let (table, buckets) = (try floats(table), try floats(buckets))
        let tokens = shapes.tokens
        let (result, target) = try result([shapes.heads, tokens, tokens])
        for head in 0 ..< shapes.heads {
            let byDistance = (0 ..< 2 * tokens - 1).map { distance -> Float in
                let bucket = buckets[distance]
                guard bucket >= 0, bucket < Float(shapes.buckets) else { return .nan }
                return table[Int(bucket) * shapes.heads + head]
            }
            for query in 0 ..< tokens {
                let row = target + (head * tokens + query) * tokens
                for key in 0 ..< tokens { row[key] = byDistance[key + tokens - 1 - query] }
            }
        }
        return result
    }
}
