public import SwanDiagnostics
public import SwanTensor

/// Where the weights of a model's layers are while it runs.
public enum WeightPlacement: Sendable, Hashable, Codable {
    /// All in the device's memory.
    case resident
    /// `resident` of the layers in the device's memory; the others wait in pinned host memory.
    case pinned(resident: Int)
    /// `resident` of the layers in the device's memory; the others are read from their file whenever their turn
    /// comes, through the system's cache of files.
    case file(resident: Int)

    /// Layers in the device's memory, of `count`. Others come in through room for two, so that fewer than three
    /// others would save nothing: all are resident then.
    public func residentLayers(of count: Int) -> Int {
        switch self {
        case .resident: count
        case .pinned(let resident), .file(let resident): count - resident <= 2 ? count : max(0, resident)
        }
    }
}

/// The layers of a model, which are all of one shape and run one after the other.
///
/// Those that are not resident take turns in the memory of two: while one computes, the next comes in. The one after
/// the last is the first again, so that the next run finds it there.
public final class LayerStack<Layer> {
    /// What a layer's turn needs.
    private enum Place {
        case resident(Layer)
        /// Waits in host memory.
        case image(any WeightImage)
        /// Waits in its file.
        case file
    }

    /// Memory that layers take turns in, and whose values it holds or is about to.
    private struct Slot {
        let layer: Layer
        let group: any WeightGroup
        var holds: Int
    }

    private let bind: (Int) throws(SwanError) -> Layer
    private var places: [Place] = []
    private var slots: [Slot] = []
    /// The layers that are not resident, in order.
    private var travellers: [Int] = []
    /// The slot of the next of them.
    private var turn = 0

    /// The number of layers.
    public var count: Int { places.count }

    /// Binds layers.
    ///
    /// - Parameters:
    ///   - count: the number of layers.
    ///   - placement: where their weights are; all are resident on a device that does not stream.
    ///   - backend: the device that gets the weights.
    ///   - bind: makes layer `i`, always with the same shapes; called again for layers that are read from their file
    ///     each time. Everything that differs between layers is a weight on the device.
    /// - Throws: what `bind` throws, and `tensor.out-of-memory`.
    public init(
        _ count: Int, _ placement: WeightPlacement, on backend: any StreamingOps,
        bind: @escaping (Int) throws(SwanError) -> Layer
    ) throws(SwanError) {
        self.bind = bind
        let resident = backend.canStreamWeights ? placement.residentLayers(of: count) : count
        let isFile = if case .file = placement { true } else { false }
        for index in 0 ..< count {
            // Evenly spread, so that every traveller has as much time to come in.
            if (index + 1) * resident / count > index * resident / count {
                places.append(.resident(try bind(index)))
                continue
            }
            travellers.append(index)
            guard !isFile || slots.count < 2 else {
                places.append(.file)
                continue
            }
            // The memory of the last two stays; that of those before is given back, and taken by the next.
            if !isFile, slots.count == 2 { slots.removeFirst() }
            let (layer, group) = try backend.group { () throws(SwanError) in try bind(index) }
            places.append(isFile ? .file : .image(try backend.image(of: group)))
            slots.append(Slot(layer: layer, group: group, holds: index))
        }
        if let first = travellers.first, slots[0].holds != first { try fill(0, with: first, on: backend) }
    }

    /// Indices of layers that were not read yet, and will be when their turn comes.
    public var unread: [Int] {
        travellers.filter { index in
            if case .file = places[index] { return !slots.contains { $0.holds == index } }
            return false
        }
    }

    /// Runs all layers in order.
    public func forEach(
        on backend: any StreamingOps, _ body: (Int, Layer) throws(SwanError) -> Void
    ) throws(SwanError) {
        for (index, place) in places.enumerated() {
            if case .resident(let layer) = place {
                try body(index, layer)
                continue
            }
            if slots[turn].holds != index { try fill(turn, with: index, on: backend) }
            let slot = slots[turn]
            try backend.begin(slot.group)
            try body(index, slot.layer)
            try backend.end(slot.group)
            turn = 1 - turn
            // The other slot was needed up to the layer before this one: the next comes in while this one computes.
            let next = travellers.first { $0 > index } ?? travellers[0]
            if slots[turn].holds != next { try fill(turn, with: next, on: backend) }
        }
    }

    private func fill(_ slot: Int, with index: Int, on backend: any StreamingOps) throws(SwanError) {
        // Until it holds the layer whole, it holds none.
        slots[slot].holds = -1
        switch places[index] {
        case .resident: throw SwanError(.fault, "A resident layer was to be loaded.")
        case .image(let image): try backend.load(image, into: slots[slot].group)
        case .file:
            try backend.reload(slots[slot].group) { () throws(SwanError) in _ = try bind(index) }
        }
        slots[slot].holds = index
    }
}
