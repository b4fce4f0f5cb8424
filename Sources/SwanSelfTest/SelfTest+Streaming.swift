import SwanDiagnostics
import SwanNN
import SwanTensor

extension SelfTest {
    /// Layers whose weights take turns in the device's memory, where they come from pinned memory and from a file in
    /// the type that is computed with or in another, with and without resident ones between them. On devices that do
    /// not stream all are resident.
    mutating func streaming() {
        var random = Values(8)
        let (layers, rows, inputs, outputs) = (7, 70, 384, 512)
        let x = random.floats(rows * inputs)
        let weights = (0 ..< layers).map { _ in
            (
                w: random.floats(outputs * inputs, size: 1 / Float(inputs).squareRoot()),
                bias: random.floats(outputs)
            )
        }
        let (unit, roundoff) = (growth(inputs) + 2e-6, roundoff)
        for (name, placement) in [
            ("pinned", WeightPlacement.pinned(resident: 0)), ("pinned, 3 resident", .pinned(resident: 3)),
            ("file", .file(resident: 0)), ("file, 2 resident", .file(resident: 2)),
        ] {
            for isNarrow in [false, true] {
                compare(
                    "stream", "\(layers) layers \(name)\(isNarrow ? ", stored in bfloat16" : "")",
                    .operations(2 * rows * inputs * outputs * layers),
                    bound: { unit * 4 + 2 * roundoff * abs($1) + unit * abs($1) }
                ) { (backend) throws(SwanError) in
                    let input = try backend.put(x, [rows, inputs])
                    let stack = try LayerStack(layers, placement, on: backend) { (index) throws(SwanError) in
                        let weight = HostTensor([outputs, inputs], weights[index].w)
                        return try backend.makeLinear(
                            weight: isNarrow ? weight.narrowed() : weight,
                            bias: HostTensor([outputs], weights[index].bias))
                    }
                    return { () throws(SwanError) in
                        // Twice: the second round finds in turn what the first left.
                        let all = try backend.zeros([layers * rows, outputs], backend.activationType)
                        for round in 0 ..< 2 {
                            try stack.forEach(on: backend) { (index, layer) throws(SwanError) in
                                let y = try backend.linear(input, layer, activation: .identity)
                                guard round == 1 else { return }
                                try backend.copy(y, into: all.rows(index * rows ..< (index + 1) * rows))
                            }
                        }
                        return all
                    }
                }
            }
        }
    }
}

extension HostTensor {
    /// The same values in bfloat16; they have to be such.
    fileprivate func narrowed() throws(SwanError) -> HostTensor {
        let values = try floats()
        let halves = values.map { UInt16($0.bitPattern >> 16) }
        let bytes = halves.withUnsafeBytes { HostBytes(copying: $0) }
        return try HostTensor(shape, .bfloat16, bytes)
    }
}
