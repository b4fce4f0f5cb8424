/// Where the time of some work went.
public struct OperationProfile: Sendable, Hashable {
    /// The operations of a backend that take time.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        case upload, download, zeros, copy
        /// Bringing weights to the device.
        case weights
        case linear, activate, geluGate, quantizeRows
        case layerNorm, layerNormModulate, rmsNorm, rmsNormRope, modulation
        case add, addGated, addGatedLayerNorm, addLayerNormModulate
        case attention, distanceBias
        case patchify, unpatchify, linearCombination
        case channelsLast, channelsFirst, convolution, upsample, channelNorm, normSiLU, withHistory
        case frameInterleave, framesToRGB8
    }

    /// All calls of an operation with the same shapes.
    public struct Entry: Sendable, Hashable {
        /// The operation.
        public var kind: Kind
        /// Its shapes, as people read them.
        public var form: String
        /// How often it was asked for.
        public var calls: Int
        /// Seconds of all calls.
        public var seconds: Double
        /// What all calls have to do at least.
        public var cost: OperationCost
    }

    /// Operations in the order in which each was first asked for.
    public private(set) var entries: [Entry] = []
    private var places: [Place: Int] = [:]

    private struct Place: Hashable {
        var kind: Kind
        var form: String
    }

    init() {}

    mutating func note(_ kind: Kind, _ form: String, _ cost: OperationCost, seconds: Double) {
        let place = Place(kind: kind, form: form)
        if let index = places[place] {
            entries[index].calls += 1
            entries[index].seconds += seconds
            entries[index].cost = entries[index].cost + cost
        } else {
            places[place] = entries.count
            entries.append(Entry(kind: kind, form: form, calls: 1, seconds: seconds, cost: cost))
        }
    }

    /// Seconds of all operations.
    public var seconds: Double { entries.reduce(0) { $0 + $1.seconds } }
}
