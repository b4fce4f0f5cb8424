import SwanDiagnostics
import SwanTensor

/// Factors of low-rank changes on the device, those of a change behind those of the one before.
struct DeviceFactors {
    /// `up` and `down` of each change, row-major.
    let values: Tensor
    /// float32 `[changes, 2]`: the rank of each, and what its product is multiplied by.
    let list: Tensor
    /// Rows of the matrix that is changed.
    let rows: Int
}

extension CUDABackend {
    /// Enqueues the factors of changes of a matrix: as they are stored, where all are alike and the device reads that,
    /// else in float32.
    func stage(_ changes: [LowRankChange], on queue: Queue) throws(SwanError) -> DeviceFactors {
        let all = changes.flatMap { [$0.up, $0.down] }
        let types = Set(all.map(crossingType))
        let type = types.count == 1 ? types.first ?? .float32 : .float32
        let values = try scratch(.factors, [all.reduce(0) { $0 + $1.shape.count }], type, on: queue)
        var end = 0
        for factor in all {
            try transfer(factor, to: values.rows(end ..< end + factor.shape.count), on: queue)
            end += factor.shape.count
        }
        let facts = HostTensor([changes.count, 2], changes.flatMap { [Float($0.rank), $0.factor] })
        let list = try scratch(.list, facts.shape, .float32, on: queue)
        try send(facts, to: list, on: queue)
        return DeviceFactors(values: values, list: list, rows: changes.first?.up.shape[0] ?? 0)
    }

    /// Enqueues `y = x + changes` for some rows of a matrix, in float32 and rounded once; `y` may be `x`.
    ///
    /// - Parameters:
    ///   - rows: those of the matrix that `x` and `y` hold.
    ///   - x: float32, float16 or bfloat16 `[rows, …]`.
    ///   - y: float32 or bfloat16, shaped alike.
    func addLowRank(
        _ factors: DeviceFactors, of rows: Range<Int>, to x: Tensor, into y: Tensor, on queue: Queue
    ) throws(SwanError) {
        let columns = x.shape.rowCount
        guard !rows.isEmpty, columns > 0 else { return }
        try launch(
            .addLowRank(
                rows: rows.count, columns: columns, from: x.dtype, factors: factors.values.dtype, to: y.dtype,
                isAligned: isAligned(x, y)),
            [address(x), address(factors.values), address(factors.list), address(y)],
            [
                .count(factors.list.shape[0]), .count(factors.rows), .count(rows.lowerBound), .count(rows.count),
                .count(columns),
            ], on: queue)
    }
}
