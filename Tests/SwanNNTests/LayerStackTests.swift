import SwanDiagnostics
import SwanNN
import SwanTensor
import Testing

/// Guards that each layer finds its own weights in its turn, wherever they wait, and that memory is neither overwritten
/// while it is needed nor read before it is filled. Whether a device does what it is asked is the self-test's matter.
@Suite("Layers that take turns")
struct LayerStackTests {
    /// A layer whose only weight is a number.
    private final class Layer {
        var weight: Int
        init(_ weight: Int) { self.weight = weight }
    }

    /// A device that streams layers like that and notes what it is asked.
    private final class Device: StreamingOps {
        private final class Group: WeightGroup {
            let byteCount = 8
            let layer: Layer
            init(_ layer: Layer) { self.layer = layer }
        }
        private final class Image: WeightImage {
            let byteCount = 8
            let weight: Int
            init(_ weight: Int) { self.weight = weight }
        }

        let canStreamWeights = true
        var bound: [Layer] = []
        /// Layers that compute now.
        private var inUse: [ObjectIdentifier] = []
        private(set) var loads = 0

        func group<L>(_ bind: () throws(SwanError) -> L) throws(SwanError) -> (layer: L, group: any WeightGroup) {
            let layer = try bind()
            guard let own = layer as? Layer else { throw SwanError(.fault, "Another layer.") }
            return (layer, Group(own))
        }

        func image(of group: any WeightGroup) throws(SwanError) -> any WeightImage {
            Image(try own(group).layer.weight)
        }

        func load(_ image: any WeightImage, into group: any WeightGroup) throws(SwanError) {
            guard let image = image as? Image else { throw SwanError(.fault, "Another image.") }
            try put(image.weight, in: own(group))
        }

        func reload(_ group: any WeightGroup, _ bind: () throws(SwanError) -> Void) throws(SwanError) {
            try bind()
            guard let last = bound.last else { throw SwanError(.fault, "Nothing was bound.") }
            try put(last.weight, in: own(group))
        }

        func begin(_ group: any WeightGroup) throws(SwanError) { inUse.append(ObjectIdentifier(try own(group).layer)) }
        func end(_ group: any WeightGroup) throws(SwanError) {
            let layer = ObjectIdentifier(try own(group).layer)
            inUse.removeAll { $0 == layer }
        }

        private func put(_ weight: Int, in group: Group) {
            #expect(!inUse.contains(ObjectIdentifier(group.layer)), "overwritten while it computes")
            group.layer.weight = weight
            loads += 1
        }

        private func own(_ group: any WeightGroup) throws(SwanError) -> Group {
            guard let group = group as? Group else { throw SwanError(.fault, "Another group.") }
            return group
        }
    }

    @Test(
        "every layer has its weights in its turn, in every round",
        arguments: [1, 2, 3, 4, 7, 40], [0, 1, 2, 3, 5, 38, 40])
    func turns(count: Int, resident: Int) throws {
        for placement in [WeightPlacement.resident, .pinned(resident: resident), .file(resident: resident)] {
            let device = Device()
            let stack = try LayerStack(count, placement, on: device) { (index) throws(SwanError) in
                let layer = Layer(100 + index)
                device.bound.append(layer)
                return layer
            }
            let before = device.loads
            for _ in 0 ..< 3 {
                var seen: [Int] = []
                try stack.forEach(on: device) { (index, layer) throws(SwanError) in
                    #expect(layer.weight == 100 + index)
                    seen.append(index)
                }
                #expect(seen == Array(0 ..< count))
            }
            // One load for each turn of a layer that is not resident, and none for the others.
            let travellers = count - placement.residentLayers(of: count)
            #expect(device.loads - before >= 3 * travellers - 2 && device.loads - before <= 3 * travellers)
        }
    }

    @Test("layers that wait in their file are read when their turn comes")
    func unread() throws {
        let device = Device()
        let stack = try LayerStack(6, .file(resident: 2), on: device) { (index) throws(SwanError) in
            let layer = Layer(index)
            device.bound.append(layer)
            return layer
        }
        #expect(stack.unread.count == 2 && device.bound.count == 4)
    }
}
