import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// What decides which of cuBLASLt's algorithms is the fastest.
struct ProductShape: Hashable, Sendable, CustomStringConvertible {
    let rows, inputs, outputs: Int
    /// The element type of y and of the bias: bfloat16 or float32.
    let result: DType
    let hasBias: Bool
    /// GELU in its tanh form behind the bias.
    let hasGELU: Bool

    var description: String {
        "\(rows)x\(inputs)x\(outputs) to \(result)\(hasBias ? " bias" : "")\(hasGELU ? " gelu" : "")"
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
    /// Algorithms that the heuristic is asked for and that are timed.
    private static let candidates = 8

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

    /// Enqueues a product of bfloat16 matrices: x `[rows, inputs]`, w `[outputs, inputs]`; bias `[outputs]` and y
    /// `[rows, outputs]` as the shape says. All row by row and at multiples of 16 bytes.
    ///
    /// The first call for a shape times the algorithms that cuBLASLt proposes; the winner is kept, on disk too.
    func multiply(
        x: UInt64, w: UInt64, bias: UInt64?, y: UInt64, _ shape: ProductShape, workspace: Workspace
    ) throws(SwanError) {
        // Seen by columns, as cuBLASLt does, these are x^T, w^T and y^T, so that y^T = (w^T)^T x^T.
        var description = Description(table)
        try check(
            table.cublasLtMatmulDescCreate(
                &description.product, Int32(SWAN_CUBLAS_COMPUTE_32F), Int32(SWAN_CUDA_R_32F)),
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
        description.w = try layout(rows: shape.inputs, columns: shape.outputs)
        description.x = try layout(rows: shape.inputs, columns: shape.rows)
        description.y = try layout(rows: shape.outputs, columns: shape.rows, shape.result)

        var algorithm: SwanCublasLtAlgorithm
        if let known = algorithms[shape] ?? remembered(shape) {
            algorithm = known
        } else {
            algorithm = try fastest(&description, x: x, w: w, y: y, shape, workspace)
            remember(algorithm, shape)
        }
        algorithms[shape] = algorithm
        try check(run(description, x: x, w: w, y: y, &algorithm, workspace), "cublasLtMatmul(\(shape))")
    }

    private func run(
        _ description: borrowing Description, x: UInt64, w: UInt64, y: UInt64, _ algorithm: inout SwanCublasLtAlgorithm,
        _ workspace: Workspace
    ) -> Int32 {
        stream.counts.libraryCalls += 1
        var one: Float = 1
        var zero: Float = 0
        func pointer(_ address: UInt64) -> UnsafeMutableRawPointer? {
            UnsafeMutableRawPointer(bitPattern: UInt(address))
        }
        return table.cublasLtMatmul(
            handle, description.product, &one, pointer(w), description.w, pointer(x), description.x, &zero, pointer(y),
            description.y, pointer(y), description.y, &algorithm, pointer(workspace.address), workspace.bytes,
            stream.handle)
    }

    private func fastest(
        _ description: inout Description, x: UInt64, w: UInt64, y: UInt64, _ shape: ProductShape,
        _ workspace: Workspace
    ) throws(SwanError) -> SwanCublasLtAlgorithm {
        try check(table.cublasLtMatmulPreferenceCreate(&description.preference), "cublasLtMatmulPreferenceCreate")
        var bytes = UInt64(workspace.bytes)
        try check(
            table.cublasLtMatmulPreferenceSetAttribute(
                description.preference, Int32(SWAN_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES), &bytes, 8),
            "cublasLtMatmulPreferenceSetAttribute")
        var results = [SwanCublasLtHeuristic](repeating: SwanCublasLtHeuristic(), count: Self.candidates)
        var count: Int32 = 0
        try check(
            table.cublasLtMatmulAlgoGetHeuristic(
                handle, description.product, description.w, description.x, description.y, description.y,
                description.preference, Int32(results.count), &results, &count),
            "cublasLtMatmulAlgoGetHeuristic(\(shape))")
        func seconds(_ algorithm: inout SwanCublasLtAlgorithm) throws(SwanError) -> Double {
            let start = try Event(stream.device, isTimed: true)
            let end = try Event(stream.device, isTimed: true)
            try start.record(on: stream)
            for _ in 0 ..< 3 { _ = run(description, x: x, w: w, y: y, &algorithm, workspace) }
            try end.record(on: stream)
            try end.synchronize()
            stream.counts.synchronizations += 1
            return try end.seconds(since: start)
        }
        var timed: [(seconds: Double, algorithm: SwanCublasLtAlgorithm)] = []
        for result in results.prefix(Int(count)) where result.status == SWAN_CUBLAS_STATUS_SUCCESS {
            var algorithm = result.algorithm
            // The first call warms up; one that fails is no candidate.
            guard run(description, x: x, w: w, y: y, &algorithm, workspace) == SWAN_CUBLAS_STATUS_SUCCESS else {
                continue
            }
            timed.append((try seconds(&algorithm), algorithm))
        }
        // The clock sinks while the device warms up: the best are timed again, in turns.
        timed = Array(timed.sorted { $0.seconds < $1.seconds }.prefix(3))
        guard timed.count > 1 else {
            if let only = timed.first { return only.algorithm }
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

    private func layout(rows: Int, columns: Int, _ type: DType = .bfloat16) throws(SwanError) -> OpaquePointer? {
        var layout: OpaquePointer?
        let type = type == .float32 ? SWAN_CUDA_R_32F : SWAN_CUDA_R_16BF
        try check(
            table.cublasLtMatrixLayoutCreate(
                &layout, Int32(type), UInt64(rows), UInt64(columns), Int64(rows)),
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
