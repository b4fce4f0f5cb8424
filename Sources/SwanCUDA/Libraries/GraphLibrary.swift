import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// What a plan of cuDNN is made for.
enum GraphOperation: Hashable {
    /// Softmax attention without a bias.
    case attention(queries: Int, keys: Int, heads: Int, width: Int)
    /// A convolution; its result as float32, so that the bias is added before anything is rounded, or as
    /// bfloat16 where there is no such plan.
    case convolution(ConvolutionShape, input: Shape, output: DType)
    /// A convolution with its bias and, where there is one, the residual added in float32, and rounded once to
    /// bfloat16.
    case biasedConvolution(ConvolutionShape, input: Shape, hasResidual: Bool)
}

/// cuDNN on one device: attention, and convolutions with what is added to them.
///
/// Source: cuDNN's "Backend API" and its header `cudnn_graph.h`, version 9.
final class GraphLibrary {
    var found: FoundLibrary { calls.found }
    private let calls: Calls
    private var table: SwanCudnnTable { calls.table }
    private let handle: OpaquePointer?
    private let stream: Stream
    private let choices: BlobCache
    /// A plan with its place in cuDNN's list.
    private typealias Candidate = (index: Int, plan: Plan)
    /// Plans that were built before they are needed.
    private var prepared: [GraphOperation: [Candidate]] = [:]
    private var plans: [GraphOperation: Plan?] = [:]
    /// Plans that are tried for an operation. The list is long, building one takes up to some tenths of a second, and
    /// the best was among the first wherever all were tried.
    private static let candidates = 5
    /// How long better plans are looked for once there is one.
    private static let patience = Duration.milliseconds(400)
    /// The version from which on the whole of attention is one operation: 9.13.1.
    private static let attentionVersion = 91301

    /// The library's functions: what descriptors keep, so that none of them keeps what keeps it.
    private final class Calls {
        let table: SwanCudnnTable
        let found: FoundLibrary

        init(_ table: SwanCudnnTable, _ found: FoundLibrary) { (self.table, self.found) = (table, found) }

        func check(_ status: Int32, _ function: String) throws(SwanError) {
            guard status != SWAN_CUDNN_STATUS_SUCCESS else { return }
            var buffer = [CChar](repeating: 0, count: 512)
            table.cudnnGetLastErrorString(&buffer, buffer.count)
            let name = table.cudnnGetErrorString(status).map { String(cString: $0) } ?? "status \(status)"
            let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw SwanError(
                .cudaCallFailed,
                "cuDNN \(found.version): \(function) failed: \(name)\(text.isEmpty ? "" : ": " + text).")
        }
    }

    /// A descriptor of cuDNN, owned.
    private final class Descriptor {
        let library: Calls
        var pointer: UnsafeMutableRawPointer?
        /// What this was made of, kept as long as it.
        private var parts: [Descriptor] = []

        init(_ library: Calls, _ type: Int) throws(SwanError) {
            self.library = library
            try library.check(
                library.table.cudnnBackendCreateDescriptor(Int32(type), &pointer), "cudnnBackendCreateDescriptor")
        }

        deinit { if pointer != nil { _ = library.table.cudnnBackendDestroyDescriptor(pointer) } }

        func set<T: BitwiseCopyable>(_ name: Int, _ type: Int, _ values: [T]) throws(SwanError) {
            let status = values.withUnsafeBytes {
                library.table.cudnnBackendSetAttribute(
                    pointer, Int32(name), Int32(type), Int64(values.count), $0.baseAddress)
            }
            try library.check(status, "cudnnBackendSetAttribute(\(name))")
        }

        func set(_ name: Int, _ descriptors: [Descriptor]) throws(SwanError) {
            parts += descriptors
            try set(name, SWAN_CUDNN_TYPE_BACKEND_DESCRIPTOR, descriptors.map { UInt(bitPattern: $0.pointer) })
        }

        func set(_ name: Int, _ values: [Int]) throws(SwanError) {
            try set(name, SWAN_CUDNN_TYPE_INT64, values.map(Int64.init))
        }

        func finalize() throws(SwanError) {
            try library.check(library.table.cudnnBackendFinalize(pointer), "cudnnBackendFinalize")
        }
    }

    /// Something that can be executed again and again.
    private final class Plan {
        let plan: Descriptor
        let workspaceBytes: Int

        init(_ plan: Descriptor, workspaceBytes: Int) { (self.plan, self.workspaceBytes) = (plan, workspaceBytes) }
    }

    /// Opens the library; needs no device.
    static func open(_ search: LibrarySearch) throws(SwanError) -> (table: SwanCudnnTable, found: FoundLibrary) {
        var table = SwanCudnnTable()
        let path = try openFirst(.cudnn, search) { path in
            swan_cudnn_open(path, &table).map { String(cString: $0) }
        }
        let version = table.cudnnGetVersion()
        let text = "\(version / 10000).\(version % 10000 / 100).\(version % 100)"
        return (table, FoundLibrary(library: .cudnn, path: path, version: text))
    }

    /// - Parameter choices: where the number of each operation's fastest plan is kept.
    init(_ search: LibrarySearch, _ stream: Stream, choices: BlobCache) throws(SwanError) {
        let (table, found) = try Self.open(search)
        calls = Calls(table, found)
        (self.stream, self.choices) = (stream, choices)
        var handle: OpaquePointer?
        let created = table.cudnnCreate(&handle)
        self.handle = handle
        try check(created, "cudnnCreate")
        try check(table.cudnnSetStream(handle, stream.handle), "cudnnSetStream")
    }

    deinit { _ = table.cudnnDestroy(handle) }

    /// Enqueues an operation: attention of q, k, v and the result, or a convolution of x and w, bfloat16 with
    /// channels last, to y; with a bias, it and the residual are between w and y. Returns false, with nothing enqueued, where cuDNN has no plan.
    func execute(
        _ operation: GraphOperation, _ addresses: [UInt64], scale: Float?, workspace: Workspace
    ) throws(SwanError) -> Bool {
        if case .attention(_, _, _, let width) = operation {
            guard table.cudnnGetVersion() >= Self.attentionVersion, width % 8 == 0, width <= 256 else { return false }
        }
        let plan: Plan?
        if let known = plans[operation] {
            plan = known
        } else {
            plan = try fastest(operation, addresses, scale, workspace)
            plans[operation] = .some(plan)
        }
        guard let plan else { return false }
        try check(run(plan, addresses, scale, workspace), "cudnnBackendExecute(\(operation))")
        return true
    }

    private func run(
        _ plan: Plan, _ addresses: [UInt64], _ scale: Float?, _ workspace: Workspace
    ) throws(SwanError) -> Int32 {
        stream.counts.libraryCalls += 1
        let pack = try Descriptor(calls, SWAN_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
        // cuDNN reads a value that is given by address while the plan is executed, which is before this returns.
        let value = UnsafeMutablePointer<Float>.allocate(capacity: 1)
        defer { value.deallocate() }
        value.initialize(to: scale ?? 1)
        var pointers = addresses.map { UInt($0) }
        if scale != nil { pointers.append(UInt(bitPattern: value)) }
        try pack.set(SWAN_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, Array(1 ... pointers.count))
        try pack.set(SWAN_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, SWAN_CUDNN_TYPE_VOID_PTR, pointers)
        try pack.set(
            SWAN_CUDNN_ATTR_VARIANT_PACK_WORKSPACE, SWAN_CUDNN_TYPE_VOID_PTR,
            [UInt(plan.workspaceBytes > 0 ? workspace.address : 0)])
        try pack.finalize()
        return table.cudnnBackendExecute(handle, plan.plan.pointer, pack.pointer)
    }

    /// The fastest of the plans that cuDNN proposes first; nil when none can be built.
    private func fastest(
        _ operation: GraphOperation, _ addresses: [UInt64], _ scale: Float?, _ workspace: Workspace
    ) throws(SwanError) -> Plan? {
        let candidates = try candidates(operation, workspaceBytes: workspace.bytes)
        prepared[operation] = nil
        // A choice that is remembered needs no timing.
        if candidates.count == 1, let only = candidates.first, choices.load(key(operation)) == [UInt8(only.index)] {
            return only.plan
        }
        var best: (seconds: Double, plan: Plan, index: Int)?
        for (index, plan) in candidates {
            guard try timed(plan, addresses, scale, workspace) != nil else { continue }
            if let seconds = try timed(plan, addresses, scale, workspace), seconds < best?.seconds ?? .infinity {
                best = (seconds, plan, index)
            }
        }
        if let best { choices.store(key(operation), [UInt8(best.index)]) }
        return best?.plan
    }

    /// What depends on the library and the kind of device alone.
    private func key(_ operation: GraphOperation) -> String {
        "cuDNN \(found.version)\n\(stream.device.facts.name)\n\(operation)"
    }

    /// Builds the plans of an operation that will be executed; nothing runs on the device.
    func prepare(_ operation: GraphOperation, workspaceBytes: Int) throws(SwanError) {
        guard plans[operation] == nil, prepared[operation] == nil else { return }
        prepared[operation] = try candidates(operation, workspaceBytes: workspaceBytes)
    }

    /// The plan that was the fastest once, else the first few of cuDNN's list that can be built.
    private func candidates(_ operation: GraphOperation, workspaceBytes: Int) throws(SwanError) -> [Candidate] {
        if let prepared = prepared[operation] { return prepared }
        guard let graph = try? graph(operation) else { return [] }
        let all = try configurations(graph)
        // The list is the same for the same version on the same kind of device; if it is not, plans are timed anew.
        if let bytes = choices.load(key(operation)), let index = bytes.first, bytes.count == 1, index < all.count,
            let plan = try? self.plan(all[Int(index)]), plan.workspaceBytes <= workspaceBytes
        {
            return [(Int(index), plan)]
        }
        let clock = ContinuousClock()
        let begin = clock.now
        var found: [Candidate] = []
        for (index, configuration) in all.prefix(Self.candidates).enumerated() {
            guard found.isEmpty || clock.now - begin < Self.patience else { break }
            guard let plan = try? self.plan(configuration), plan.workspaceBytes <= workspaceBytes else { continue }
            found.append((index, plan))
        }
        return found
    }

    /// Seconds of a run on the device; nil for a plan that fails.
    private func timed(
        _ plan: Plan, _ addresses: [UInt64], _ scale: Float?, _ workspace: Workspace
    ) throws(SwanError) -> Double? {
        let start = try Event(stream.device, isTimed: true)
        let end = try Event(stream.device, isTimed: true)
        try start.record(on: stream)
        guard try run(plan, addresses, scale, workspace) == SWAN_CUDNN_STATUS_SUCCESS else { return nil }
        try end.record(on: stream)
        try end.synchronize()
        stream.counts.synchronizations += 1
        return try end.seconds(since: start)
    }

    private func configurations(_ graph: Descriptor) throws(SwanError) -> [Descriptor] {
        let heuristic = try Descriptor(calls, SWAN_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
        try heuristic.set(SWAN_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, [graph])
        try heuristic.set(
            SWAN_CUDNN_ATTR_ENGINEHEUR_MODE, SWAN_CUDNN_TYPE_HEUR_MODE, [Int32(SWAN_CUDNN_HEUR_MODE_A)])
        do { try heuristic.finalize() } catch { return [] }
        var count: Int64 = 0
        let name = Int32(SWAN_CUDNN_ATTR_ENGINEHEUR_RESULTS)
        let type = Int32(SWAN_CUDNN_TYPE_BACKEND_DESCRIPTOR)
        try check(
            table.cudnnBackendGetAttribute(heuristic.pointer, name, type, 0, &count, nil), "cudnnBackendGetAttribute")
        var results: [Descriptor] = []
        for _ in 0 ..< count { results.append(try Descriptor(calls, SWAN_CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) }
        var pointers = results.map { UInt(bitPattern: $0.pointer) }
        try check(
            table.cudnnBackendGetAttribute(heuristic.pointer, name, type, count, &count, &pointers),
            "cudnnBackendGetAttribute")
        return Array(results.prefix(Int(count)))
    }

    private func plan(_ configuration: Descriptor) throws(SwanError) -> Plan {
        let plan = try Descriptor(calls, SWAN_CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        try plan.set(SWAN_CUDNN_ATTR_EXECUTION_PLAN_HANDLE, SWAN_CUDNN_TYPE_HANDLE, [UInt(bitPattern: handle)])
        try plan.set(SWAN_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, [configuration])
        try plan.finalize()
        var (bytes, count): (Int64, Int64) = (0, 0)
        try check(
            table.cudnnBackendGetAttribute(
                plan.pointer, Int32(SWAN_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE), Int32(SWAN_CUDNN_TYPE_INT64), 1,
                &count, &bytes), "cudnnBackendGetAttribute")
        return Plan(plan, workspaceBytes: Int(bytes))
    }

    private func graph(_ operation: GraphOperation) throws(SwanError) -> Descriptor {
        let nodes: [Descriptor]
        switch operation {
        case .attention(let queries, let keys, let heads, let width):
            nodes = [try attentionNode(queries, keys, heads, width)]
        case .convolution(let geometry, let input, let output):
            let y = try tensor(3, extents(geometry, input), output)
            nodes = [try convolutionNode(geometry, input, to: y)]
        case .biasedConvolution(let geometry, let input, let hasResidual):
            nodes = try biasedConvolutionNodes(geometry, input, hasResidual)
        }
        let graph = try Descriptor(calls, SWAN_CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
        try graph.set(SWAN_CUDNN_ATTR_OPERATIONGRAPH_OPS, nodes)
        try graph.set(SWAN_CUDNN_ATTR_OPERATIONGRAPH_HANDLE, SWAN_CUDNN_TYPE_HANDLE, [UInt(bitPattern: handle)])
        try graph.finalize()
        return graph
    }

    private func tensor(
        _ id: Int, _ extents: [Int], _ strides: [Int], _ dtype: DType, isValue: Bool = false, isVirtual: Bool = false
    ) throws(SwanError) -> Descriptor {
        let tensor = try Descriptor(calls, SWAN_CUDNN_BACKEND_TENSOR_DESCRIPTOR)
        let type = dtype == .float32 ? SWAN_CUDNN_DATA_FLOAT : SWAN_CUDNN_DATA_BFLOAT16
        try tensor.set(SWAN_CUDNN_ATTR_TENSOR_UNIQUE_ID, [id])
        try tensor.set(SWAN_CUDNN_ATTR_TENSOR_DATA_TYPE, SWAN_CUDNN_TYPE_DATA_TYPE, [Int32(type)])
        try tensor.set(SWAN_CUDNN_ATTR_TENSOR_DIMENSIONS, extents)
        try tensor.set(SWAN_CUDNN_ATTR_TENSOR_STRIDES, strides)
        try tensor.set(SWAN_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, [16])
        if isVirtual { try tensor.set(SWAN_CUDNN_ATTR_TENSOR_IS_VIRTUAL, SWAN_CUDNN_TYPE_BOOLEAN, [true]) }
        if isValue { try tensor.set(SWAN_CUDNN_ATTR_TENSOR_IS_BY_VALUE, SWAN_CUDNN_TYPE_BOOLEAN, [true]) }
        try tensor.finalize()
        return tensor
    }

    /// Rows of heads `[rows, heads, width]`, which cuDNN sees as `[1, heads, rows, width]`.
    private func attentionNode(_ queries: Int, _ keys: Int, _ heads: Int, _ width: Int) throws(SwanError) -> Descriptor
    {
        func rows(_ id: Int, _ rows: Int) throws(SwanError) -> Descriptor {
            try tensor(
                id, [1, heads, rows, width], [rows * heads * width, width, heads * width, 1], .bfloat16)
        }
        let node = try Descriptor(calls, SWAN_CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)
        try node.set(SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, [rows(1, queries)])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, [rows(2, keys)])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, [rows(3, keys)])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, [rows(4, queries)])
        try node.set(
            SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC,
            [tensor(5, [1, 1, 1, 1], [1, 1, 1, 1], .float32, isValue: true)])
        try node.finalize()
        return node
    }

    /// Channels-last strides of a tensor whose extents are batch, channels, frames, height, width.
    private func channelsLast(_ extents: [Int]) -> [Int] {
        let (channels, frames, height, width) = (extents[1], extents[2], extents[3], extents[4])
        return [channels * frames * height * width, 1, height * width * channels, width * channels, channels]
    }

    /// The same tensor with channels last.
    private func tensor(_ id: Int, _ extents: [Int], _ dtype: DType, isVirtual: Bool = false) throws(SwanError)
        -> Descriptor
    {
        try tensor(id, extents, channelsLast(extents), dtype, isVirtual: isVirtual)
    }

    /// Batch, channels, frames, height and width of a convolution's result.
    private func extents(_ geometry: ConvolutionShape, _ input: Shape) throws(SwanError) -> [Int] {
        guard let result = geometry.output(of: input) else {
            throw SwanError(.fault, "A convolution was planned for frames \(input), which do not fit it.")
        }
        return [1, geometry.outputs, result[0], result[1], result[2]]
    }

    /// x and w have the numbers 1 and 2, the bias 3, the residual 4; y is the last. What lies between stays inside the
    /// kernel.
    private func biasedConvolutionNodes(
        _ geometry: ConvolutionShape, _ input: Shape, _ hasResidual: Bool
    ) throws(SwanError) -> [Descriptor] {
        let y = try extents(geometry, input)
        let result = try tensor(hasResidual ? 5 : 4, y, .bfloat16)
        let sums = try tensor(100, y, .float32, isVirtual: true)
        let bias = try tensor(3, [1, geometry.outputs, 1, 1, 1], .float32)
        var nodes = [try convolutionNode(geometry, input, to: sums)]
        if hasResidual {
            let biased = try tensor(101, y, .float32, isVirtual: true)
            nodes.append(try sumNode(sums, bias, biased))
            nodes.append(try sumNode(biased, tensor(4, y, .bfloat16), result))
        } else {
            nodes.append(try sumNode(sums, bias, result))
        }
        return nodes
    }

    private func sumNode(_ a: Descriptor, _ b: Descriptor, _ result: Descriptor) throws(SwanError) -> Descriptor {
        let sum = try Descriptor(calls, SWAN_CUDNN_BACKEND_POINTWISE_DESCRIPTOR)
        try sum.set(SWAN_CUDNN_ATTR_POINTWISE_MODE, SWAN_CUDNN_TYPE_POINTWISE_MODE, [Int32(SWAN_CUDNN_POINTWISE_ADD)])
        try sum.set(SWAN_CUDNN_ATTR_POINTWISE_MATH_PREC, SWAN_CUDNN_TYPE_DATA_TYPE, [Int32(SWAN_CUDNN_DATA_FLOAT)])
        try sum.finalize()
        let node = try Descriptor(calls, SWAN_CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
        try node.set(SWAN_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, [sum])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_POINTWISE_XDESC, [a])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_POINTWISE_BDESC, [b])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_POINTWISE_YDESC, [result])
        try node.finalize()
        return node
    }

    private func convolutionNode(
        _ geometry: ConvolutionShape, _ input: Shape, to y: Descriptor
    ) throws(SwanError) -> Descriptor {
        let convolution = try Descriptor(calls, SWAN_CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
        try convolution.set(SWAN_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, [3])
        try convolution.set(
            SWAN_CUDNN_ATTR_CONVOLUTION_COMP_TYPE, SWAN_CUDNN_TYPE_DATA_TYPE, [Int32(SWAN_CUDNN_DATA_FLOAT)])
        try convolution.set(
            SWAN_CUDNN_ATTR_CONVOLUTION_CONV_MODE, SWAN_CUDNN_TYPE_CONVOLUTION_MODE,
            [Int32(SWAN_CUDNN_CROSS_CORRELATION)])
        try convolution.set(SWAN_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, [0, geometry.top, geometry.left])
        try convolution.set(SWAN_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, [0, geometry.bottom, geometry.right])
        try convolution.set(SWAN_CUDNN_ATTR_CONVOLUTION_DILATIONS, [1, 1, 1])
        try convolution.set(
            SWAN_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, [geometry.frameStride, geometry.stride, geometry.stride])
        try convolution.finalize()

        let kernel = geometry.kernel
        let x = [1, geometry.inputs, input[0], input[1], input[2]]
        let w = [geometry.outputs, geometry.inputs, kernel.frames, kernel.height, kernel.width]
        let node = try Descriptor(calls, SWAN_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        try node.set(
            SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, [tensor(1, x, .bfloat16)])
        try node.set(
            SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, [tensor(2, w, .bfloat16)])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, [y])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, [convolution])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, SWAN_CUDNN_TYPE_FLOAT, [Float(1)])
        try node.set(SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, SWAN_CUDNN_TYPE_FLOAT, [Float(0)])
        try node.finalize()
        return node
    }

    private func check(_ status: Int32, _ function: String) throws(SwanError) { try calls.check(status, function) }
}
