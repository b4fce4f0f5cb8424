public import SwanDiagnostics

/// Weights that were bound together, in the order in which they were: the memory that layers of one shape take
/// turns in.
public protocol WeightGroup: AnyObject {
    /// Bytes of device memory.
    var byteCount: Int { get }
}

/// The values of a group in host memory that the device reads by itself.
public protocol WeightImage: AnyObject {
    /// Bytes of host memory.
    var byteCount: Int { get }
}

/// Weights that come and go while others are computed with.
///
/// A group's turn: ``load(_:into:)`` or ``reload(_:_:)`` enqueues its values, ``begin(_:)`` makes what is asked from
/// then on wait for them, ``end(_:)`` marks that nothing asked later needs them, so that the next turn may overwrite
/// them. Devices that compute from host memory have nothing to gain and do not stream.
public protocol StreamingOps {
    /// Whether weights can take turns.
    var canStreamWeights: Bool { get }

    /// Runs `bind` and notes the weights that it brings to the device, in their order.
    func group<Layer>(
        _ bind: () throws(SwanError) -> Layer
    ) throws(SwanError) -> (layer: Layer, group: any WeightGroup)

    /// Copies a group's values to host memory; they are there when ``MemoryOps/synchronize()`` returns, and for
    /// ``load(_:into:)`` at once.
    func image(of group: any WeightGroup) throws(SwanError) -> any WeightImage

    /// Enqueues a group's values from an image of a group of the same shapes.
    func load(_ image: any WeightImage, into group: any WeightGroup) throws(SwanError)

    /// Runs `bind`, whose weights go into the group's memory, in the order in which the group was bound; returns when
    /// all have been read from where they come from. What `bind` makes has to be forgotten.
    func reload(_ group: any WeightGroup, _ bind: () throws(SwanError) -> Void) throws(SwanError)

    /// Makes what is asked from now on wait for the group's values.
    func begin(_ group: any WeightGroup) throws(SwanError)

    /// Marks that the group's values may be overwritten once all that was asked so far is done.
    func end(_ group: any WeightGroup) throws(SwanError)
}

extension StreamingOps {
    /// Not where it is not said.
    public var canStreamWeights: Bool { false }

    private var refusal: SwanError { SwanError(.fault, "Weights were to be streamed on a device that does not.") }

    /// Binds, and refuses: see ``canStreamWeights``.
    public func group<Layer>(
        _ bind: () throws(SwanError) -> Layer
    ) throws(SwanError) -> (layer: Layer, group: any WeightGroup) { throw refusal }
    /// Refuses: see ``canStreamWeights``.
    public func image(of group: any WeightGroup) throws(SwanError) -> any WeightImage { throw refusal }
    /// Refuses: see ``canStreamWeights``.
    public func load(_ image: any WeightImage, into group: any WeightGroup) throws(SwanError) { throw refusal }
    /// Refuses: see ``canStreamWeights``.
    public func reload(_ group: any WeightGroup, _ bind: () throws(SwanError) -> Void) throws(SwanError) {
        throw refusal
    }
    /// Refuses: see ``canStreamWeights``.
    public func begin(_ group: any WeightGroup) throws(SwanError) { throw refusal }
    /// Refuses: see ``canStreamWeights``.
    public func end(_ group: any WeightGroup) throws(SwanError) { throw refusal }
}
