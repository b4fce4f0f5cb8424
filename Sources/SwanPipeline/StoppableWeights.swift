import SwanCheckpoint
import SwanDiagnostics
import SwanTensor

/// Weights whose reading stops when the run is to stop: an expert of 57 GB takes a while to load.
struct StoppableWeights: WeightSource {
    let base: any WeightSource
    let cancellation: Cancellation

    var names: [String] { base.names }
    var origin: String { base.origin }
    var annotations: [String: String] { base.annotations }

    func info(_ name: String) -> TensorInfo? { base.info(name) }

    func unsupported(_ name: String) -> UnsupportedTensor? { base.unsupported(name) }

    func tensor(_ name: String) throws(SwanError) -> HostTensor {
        try cancellation.check()
        return try base.tensor(name)
    }
}
