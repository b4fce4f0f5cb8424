import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// What decides which of cuBLASLt's algorithms is the fastest.
struct ProductShape: Hashable, Sendable, CustomStringConvertible {
    let rows, inputs, outputs: Int
    /// The element type of x and w: bfloat16, float8E4M3 with scales, or int8.
    var factor = DType.bfloat16
    /// The element type of y and of the bias: bfloat16 or float32; of float8E4M3 a bias of bfloat16 always, int32 of int8.
    let result: DType
    let hasBias: Bool
    /// GELU in its tanh form behind the bias.
    var hasGELU = false
    /// Added to what y holds.
    var isAdded = false

    var description: String {
        "\(factor == .bfloat16 ? "" : "\(factor) ")\(rows)x\(inputs)x\(outputs) to \(result)"
            + "\(hasBias ? " bias" : "")\(hasGELU ? " gelu" : "")\(isAdded ? " added" : "")"
    }
}

/// cuBLASLt on one device: `y = x * w^T`, with what may follow in the same pass.
final class MatrixLibrary {
    let found: FoundLibrary
    private let table: SwanCublasLtTable
    private let handle: OpaquePointer?
    private let stream: Stream
    private let choices: BlobCache
    private var algorithms: [ProductShape: SwanCublasLtAlgorithm] = [:]
    /// Products in eight bits that there is no algorithm for.
    private var unavailable: Set<ProductShape> = []
    /// Algorithms that the heuristic is asked for and that are timed.
    private static let candidates = 8

    /// Whether the library knows scales for each row and column of fp8: from 12.9 on.
    var hasRowScales: Bool { table.cublasLtGetVersion() >= 120_900 }

    /// Opens the library; needs no device.
    static func open(_ search: LibrarySearch) throws(SwanError) -> (table: SwanCublasLtTable, found: FoundLibrary) {
        var table = SwanCublasLtTable()
        let path = try openFirst(.cublasLt, search) { path in
            swan_cublaslt_open(path, &table).map { String(cString: $0) }
        }
        let version = table.cublasLtGetVersion()
        let text = "\(version / 10000).\(version % 10000 / 100).\(version % 100)"
        return (table, FoundLibrary(library: .cublasLt, path: path, version: text))
    }

    init(_ search: LibrarySearch, _ stream: Stream, choices: BlobCache) throws(SwanError) {
        (table, found) = try Self.open(search)
        (self.stream, self.choices) = (stream, choices)
        var handle: OpaquePointer?
        let created = table.cublasLtCreate(&handle)
        self.handle = handle
        try check(created, "cublasLtCreate")
    }

    deinit { _ = table.cublasLtDestroy(handle) }

    /// Descriptions of one product; freed when the value ends.
    private struct Description: ~Copyable {
        let table: SwanCublasLtTable
        var product, w, x, y, preference: OpaquePointer?

        init(_ table: SwanCublasLtTable) { self.table = table }

        deinit {
            if product != nil { _ = table.cublasLtMatmulDescDestroy(product) }
            for layout in [w, x, y] where layout != nil { _ = table.cublasLtMatrixLayoutDestroy(layout) }
            if preference != nil { _ = table.cublasLtMatmulPreferenceDestroy(preference) }
        }
    }

    /// Enqueues a product: x `[rows, inputs]`, w `[outputs, inputs]`, bias `[outputs]` and y `[rows, outputs]`, of types
    /// as the shape says. All row by row and at multiples of 16 bytes.
    ///
    /// The first call for a shape times the algorithms that cuBLASLt proposes; the winner is kept, on disk too.
    ///
    /// - Parameter scales: of float8E4M3, float32 `[rows]` and `[outputs]`.
    /// - Returns: false, with nothing enqueued, for a product in eight bits that there is no algorithm for.
    func multiply(
        x: UInt64, w: UInt64, bias: UInt64?, y: UInt64, scales: (x: UInt64, w: UInt64)?, _ shape: ProductShape,
        workspace: Workspace
    ) throws(SwanError) -> Bool {
        guard !unavailable.contains(shape) else { return false }
        // Seen by columns, as cuBLASLt does, these are x^T, w^T and y^T, so that y^T = (w^T)^T x^T.
        var description = Description(table)
        let isWhole = shape.factor == .int8
        try check(
            table.cublasLtMatmulDescCreate(
                &description.product, Int32(isWhole ? SWAN_CUBLAS_COMPUTE_32I : SWAN_CUBLAS_COMPUTE_32F),
                Int32(isWhole ? SWAN_CUDA_R_32I : SWAN_CUDA_R_32F)),
            "cublasLtMatmulDescCreate")
        try set(&description, SWAN_CUBLASLT_MATMUL_DESC_TRANSA, Int32(SWAN_CUBLAS_OP_T))
        let epilogue =
            switch (shape.hasBias, shape.hasGELU) {
            case (false, false): SWAN_CUBLASLT_EPILOGUE_DEFAULT
            case (true, false): SWAN_CUBLASLT_EPILOGUE_BIAS
            case (false, true): SWAN_CUBLASLT_EPILOGUE_GELU
            case (true, true): SWAN_CUBLASLT_EPILOGUE_GELU_BIAS
            }
        try set(&description, SWAN_CUBLASLT_MATMUL_DESC_EPILOGUE, UInt32(epilogue))
        if let bias, shape.hasBias { try set(&description, SWAN_CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias) }
        if let scales {
            // Whoever asks has looked at ``hasRowScales``.
            let perRow = Int32(SWAN_CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F)
            try set(&description, SWAN_CUBLASLT_MATMUL_DESC_A_SCALE_MODE, perRow)
            try set(&description, SWAN_CUBLASLT_MATMUL_DESC_B_SCALE_MODE, perRow)
            if shape.hasBias {
                try set(&description, SWAN_CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, Int32(SWAN_CUDA_R_16BF))
            }
            try set(&description, SWAN_CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales.w)
            try set(&description, SWAN_CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales.x)
            // Sums stay in the matrix units, which keep some 14 bits of them on Hopper, as PyTorch's do with
            // use_fast_accum. Source: DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024, section 3.3.2.
            try set(&description, SWAN_CUBLASLT_MATMUL_DESC_FAST_ACCUM, Int8(1))
        }
        description.w = try layout(rows: shape.inputs, columns: shape.outputs, shape.factor)
        description.x = try layout(rows: shape.inputs, columns: shape.rows, shape.factor)
        description.y = try layout(rows: shape.outputs, columns: shape.rows, shape.result)

        var algorithm: SwanCublasLtAlgorithm
        if let known = algorithms[shape] ?? remembered(shape) {
            algorithm = known
        } else {
            guard let found = try fastest(&description, x: x, w: w, y: y, shape, workspace) else {
                unavailable.insert(shape)
                return false
            }
            algorithm = found
            remember(algorithm, shape)
        }
        algorithms[shape] = algorithm
        try check(run(description, x: x, w: w, y: y, shape, &algorithm, workspace), "cublasLtMatmul(\(shape))")
        return true
    }

    private func run(
        _ description: borrowing Description, x: UInt64, w: UInt64, y: UInt64, _ shape: ProductShape,
        _ algorithm: inout SwanCublasLtAlgorithm, _ workspace: Workspace
    ) -> Int32 {
        stream.counts.libraryCalls += 1
        // Where sums are whole numbers, so are the factors of product and target.
        var one: UInt32 = shape.factor == .int8 ? 1 : Float(1).bitPattern
        var before: UInt32 = shape.isAdded ? one : 0
        func pointer(_ address: UInt64) -> UnsafeMutableRawPointer? {
            UnsafeMutableRawPointer(bitPattern: UInt(address))
        }
        return table.cublasLtMatmul(
            handle, description.product, &one, pointer(w), description.w, pointer(x), description.x, &before,
            pointer(y), description.y, pointer(y), description.y, &algorithm, pointer(workspace.address),
            workspace.bytes, stream.handle)
    }

    private func fastest(
        _ description: inout Description, x: UInt64, w: UInt64, y: UInt64, _ shape: ProductShape,
        _ workspace: Workspace
    ) throws(SwanError) -> SwanCublasLtAlgorithm? {
        try check(table.cublasLtMatmulPreferenceCreate(&description.preference), "cublasLtMatmulPreferenceCreate")
        var bytes = UInt64(workspace.bytes)
        try check(
            table.cublasLtMatmulPreferenceSetAttribute(
                description.preference, Int32(SWAN_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES), &bytes, 8),
            "cublasLtMatmulPreferenceSetAttribute")
        var results = [SwanCublasLtHeuristic](repeating: SwanCublasLtHeuristic(), count: Self.candidates)
        var count: Int32 = 0
        let status = table.cublasLtMatmulAlgoGetHeuristic(
            handle, description.product, description.w, description.x, description.y, description.y,
            description.preference, Int32(results.count), &results, &count)
        // Products in eight bits are not to be had of every shape, and libraries differ in how they say so.
        let refusals = [Int32(SWAN_CUBLAS_STATUS_NOT_SUPPORTED), Int32(SWAN_CUBLAS_STATUS_INVALID_VALUE)]
        if shape.factor != .bfloat16, refusals.contains(status) { return nil }
        try check(status, "cublasLtMatmulAlgoGetHeuristic(\(shape))")
        // What is added cannot be tried: y would no longer be what it was.
        if shape.isAdded {
            return results.prefix(Int(count)).first { $0.status == SWAN_CUBLAS_STATUS_SUCCESS }?.algorithm
        }
        func seconds(_ algorithm: inout SwanCublasLtAlgorithm) throws(SwanError) -> Double {
            let start = try Event(stream.device, isTimed: true)
            let end = try Event(stream.device, isTimed: true)
            try start.record(on: stream)
            for _ in 0 ..< 3 { _ = run(description, x: x, w: w, y: y, shape, &algorithm, workspace) }
            try end.record(on: stream)
            try end.synchronize()
            stream.counts.synchronizations += 1
            return try end.seconds(since: start)
        }
        var timed: [(seconds: Double, algorithm: SwanCublasLtAlgorithm)] = []
        for result in results.prefix(Int(count)) where result.status == SWAN_CUBLAS_STATUS_SUCCESS {
            var algorithm = result.algorithm
            // The first call warms up; one that fails is no candidate.
            let status = run(description, x: x, w: w, y: y, shape, &algorithm, workspace)
            guard status == SWAN_CUBLAS_STATUS_SUCCESS else { continue }
            timed.append((try seconds(&algorithm), algorithm))
        }
        // The clock sinks while the device warms up: the best are timed again, in turns.
        timed = Array(timed.sorted { $0.seconds < $1.seconds }.prefix(3))
        guard timed.count > 1 else {
            if let only = timed.first { return only.algorithm }
            if shape.factor != .bfloat16 { return nil }
            throw SwanError(.cudaUnsupported, "cuBLASLt \(found.version) has no algorithm for \(shape).")
        }
        var sums = [Double](repeating: 0, count: timed.count)
        for _ in 0 ..< 3 {
            for index in timed.indices { sums[index] += try seconds(&timed[index].algorithm) }
        }
        return timed[sums.indices.min { sums[$0] < sums[$1] } ?? 0].algorithm
    }

    private func set<T: BitwiseCopyable>(_ description: inout Description, _ name: Int, _ value: T) throws(SwanError) {
        let result = withUnsafeBytes(of: value) {
            table.cublasLtMatmulDescSetAttribute(description.product, Int32(name), $0.baseAddress, $0.count)
        }
        try check(result, "cublasLtMatmulDescSetAttribute")
    }

    private func layout(rows: Int, columns: Int, _ type: DType) throws(SwanError) -> OpaquePointer? {
        var layout: OpaquePointer?
        let name =
            switch type {
            case .float32: SWAN_CUDA_R_32F
            case .float8E4M3: SWAN_CUDA_R_8F_E4M3
            case .int8: SWAN_CUDA_R_8I
            case .int32: SWAN_CUDA_R_32I
            default: SWAN_CUDA_R_16BF
            }
        try check(
            table.cublasLtMatrixLayoutCreate(
                &layout, Int32(name), UInt64(rows), UInt64(columns), Int64(rows)),
            "cublasLtMatrixLayoutCreate")
        return layout
    }

    // An algorithm is 64 bytes that mean the same to the same version of the library on the same kind of device.
    private func key(_ shape: ProductShape) -> String {
        "cublasLt \(found.version)\n\(stream.device.facts.name)\n\(shape)"
    }

    private func remembered(_ shape: ProductShape) -> SwanCublasLtAlgorithm? {
        guard let bytes = choices.load(key(shape)), bytes.count == MemoryLayout<SwanCublasLtAlgorithm>.size else {
            return nil
        }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: SwanCublasLtAlgorithm.self) }
    }

    private func remember(_ algorithm: SwanCublasLtAlgorithm, _ shape: ProductShape) {
        withUnsafeBytes(of: algorithm) { bytes in _ = choices.store(key(shape), Array(bytes)) }
    }

    private func check(_ status: Int32, _ function: String) throws(SwanError) {
        guard status != SWAN_CUBLAS_STATUS_SUCCESS else { return }
        let texts = [table.cublasLtGetStatusName(status), table.cublasLtGetStatusString(status)]
        throw SwanError(
            .cudaCallFailed,
            "cuBLASLt \(found.version): \(function) failed: "
                + texts.compactMap { $0.map { String(cString: $0) } }.joined(separator: ", ") + ".")
    }
}
