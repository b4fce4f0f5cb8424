import CSwanCPUKernels
import SwanDiagnostics
import SwanTensor

/// One tap of a kernel: where it looks, counted from the result's position times the strides.
struct Tap: Hashable {
    let frame, row, column: Int
}

/// A convolution's weights as one matrix, taps in order and in each the inputs, packed in panels.
struct PackedTaps {
    let taps: [Tap]
    let inputs: Int
    let outputs: Int
    let packed: HostStorage
    let bias: HostStorage
}

/// Where the results of a convolution go.
struct FrameLayout {
    let base: Floats
    /// Floats from one position to the next in each direction.
    let frameStride, rowStride, columnStride: Int
}

/// A rectangle of a frame's positions whose taps all lie inside the input: one thread's piece of work.
private struct Piece {
    var rows: Range<Int>
    var columns: Range<Int>
    /// The taps that see the input here, as the kernels read them.
    let segments: [SwanSegment]

    /// Narrow pieces are walked down and not along their rows, so that few of a tile's rows are left over.
    var isUpright: Bool { columns.count < 6 }

    /// Pieces of some 120 positions or more: several rows, one row, or a part of one.
    var split: [Piece] {
        let (height, width) =
            isUpright ? (240, columns.count) : (max(1, 120 / columns.count), columns.count < 360 ? columns.count : 240)
        return rows.pieces(of: height).flatMap { rows in
            columns.pieces(of: width).map { Piece(rows: rows, columns: $0, segments: segments) }
        }
    }
}

extension Range<Int> {
    /// Consecutive ranges of at most `length`.
    fileprivate func pieces(of length: Int) -> [Range<Int>] {
        stride(from: lowerBound, to: upperBound, by: length).map { $0 ..< Swift.min($0 + length, upperBound) }
    }
}

/// Ranges of results that see the same of the `taps` (offsets in one direction) inside an input of
/// `extent` rows or columns.
private func spans(_ count: Int, taps: [Int], step: Int, extent: Int) -> [Range<Int>] {
    // Results r with 0 <= r * step + tap < extent.
    let borders = taps.flatMap { tap in
        [max(0, step - 1 - tap) / step, (max(0, extent - tap) + step - 1) / step].map { min($0, count) }
    }
    let sorted = Set(borders + [0, count]).sorted()
    return zip(sorted, sorted.dropFirst()).map { $0 ..< $1 }
}

extension CPUBackend {
    /// Packs `weight(output, tap, input)`.
    func packTaps(
        _ taps: [Tap], inputs: Int, outputs: Int, bias: HostTensor, weight: (Int, Int, Int) -> Float
    ) throws(SwanError) -> PackedTaps {
        let rows = taps.count * inputs
        let packed = try HostStorage(floats: panels(outputs) * panelWidth * rows, pool)
        let target = packed.floats
        library.parallel(panels(outputs)) { panel, _ in
            for column in 0 ..< panelWidth {
                let output = panel * panelWidth + column
                for tap in taps.indices {
                    for input in 0 ..< inputs {
                        target[(panel * rows + tap * inputs + input) * panelWidth + column] =
                            output < outputs ? weight(output, tap, input) : 0
                    }
                }
            }
        }
        let biases = try HostStorage(floats: outputs, pool)
        try write(bias, to: biases.floats)
        return PackedTaps(taps: taps, inputs: inputs, outputs: outputs, packed: packed, bias: biases)
    }

    /// A convolution as matrix products: the rows of one are neighbouring positions, and their values lie
    /// in as many segments as the kernel has taps. Nothing is copied; positions at the border, where some
    /// taps see zeros, are products with fewer segments.
    ///
    /// - Parameters:
    ///   - steps: from one result to the next, in frames and in both directions of space.
    ///   - size: the result's frames, rows and columns.
    ///   - residual: laid out like the result, added to it.
    func convolve(
        _ source: Floats, _ input: FrameShapes, _ weights: PackedTaps, steps: (frames: Int, space: Int),
        size: (frames: Int, height: Int, width: Int), into target: FrameLayout, residual: Floats?
    ) {
        productCount += 1
        let (channels, step) = (weights.inputs, steps.space)
        let pieces = pieces(input, weights, step: step, height: size.height, width: size.width)
        let (packed, bias, kernels) = (weights.packed.floats, weights.bias.floats, kernels)
        let (outputs, packedRows) = (weights.outputs, weights.taps.count * channels)
        library.parallel(size.frames * pieces.count) { index, _ in
            let (frame, piece) = (index / pieces.count, pieces[index % pieces.count])
            let (lines, along) = piece.isUpright ? (piece.columns, piece.rows) : (piece.rows, piece.columns)
            let inputStride = (piece.isUpright ? input.width : 1) * step * channels
            let stride = piece.isUpright ? target.rowStride : target.columnStride
            piece.segments.withUnsafeBufferPointer { segments in
                guard let firstSegment = segments.baseAddress else { return }
                for line in lines {
                    let (row, column) = piece.isUpright ? (along.lowerBound, line) : (line, along.lowerBound)
                    let from = (frame * steps.frames * input.height + row * step) * input.width + column * step
                    let to = frame * target.frameStride + row * target.rowStride + column * target.columnStride
                    var product = SwanProduct(
                        a: source + from * channels, aStride: inputStride, segments: firstSegment,
                        segmentCount: segments.count, k: channels, packed: packed, packedRows: packedRows, n: outputs,
                        c: target.base + to, cStride: stride, accumulates: false)
                    for panel in Swift.stride(from: 0, to: panels(outputs), by: 16) {
                        let (panelEnd, channel) = (min(panel + 16, panels(outputs)), panel * panelWidth)
                        kernels.product(&product, 0, along.count, panel, panelEnd)
                        kernels.finish(
                            target.base + to + channel, bias + channel,
                            residual.map { (added: Floats) -> UnsafePointer<Float> in
                                UnsafePointer(added + to + channel)
                            }, stride, along.count, min(panelEnd * panelWidth, outputs) - channel, SWAN_IDENTITY)
                    }
                }
            }
        }
    }

    private func pieces(_ input: FrameShapes, _ weights: PackedTaps, step: Int, height: Int, width: Int) -> [Piece] {
        let rowSpans = spans(height, taps: weights.taps.map(\.row), step: step, extent: input.height)
        let columnSpans = spans(width, taps: weights.taps.map(\.column), step: step, extent: input.width)
        return rowSpans.flatMap { rows in
            columnSpans.flatMap { columns in
                var segments: [SwanSegment] = []
                for (index, tap) in weights.taps.enumerated() {
                    guard (0 ..< input.height).contains(rows.lowerBound * step + tap.row),
                        (0 ..< input.width).contains(columns.lowerBound * step + tap.column)
                    else { continue }
                    let offset = (tap.frame * input.height + tap.row) * input.width + tap.column
                    segments.append(
                        SwanSegment(offset: offset * weights.inputs, packedRow: index * weights.inputs))
                }
                return Piece(rows: rows, columns: columns, segments: segments).split
            }
        }
    }
}
