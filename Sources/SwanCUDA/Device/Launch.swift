import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// A kernel that is ready to be launched.
final class LoadedKernel {
    let request: KernelRequest
    let function: OpaquePointer?
    private let module: OpaquePointer?
    private let device: Device  // its context holds the module
    /// Bytes of dynamic shared memory that were asked for so far.
    private var sharedBytes = 48 << 10

    init(_ request: KernelRequest, _ cubin: [UInt8], _ device: Device) throws(SwanError) {
        (self.request, self.device) = (request, device)
        let driver = device.driver
        var module, function: OpaquePointer?
        try driver.check(
            cubin.withUnsafeBytes { driver.table.cuModuleLoadData(&module, $0.baseAddress) }, "cuModuleLoadData")
        self.module = module
        let found = driver.table.cuModuleGetFunction(&function, module, request.name)
        self.function = function
        try driver.check(found, "cuModuleGetFunction(\(request.name))")
    }

    deinit { _ = device.driver.table.cuModuleUnload(module) }

    /// A block gets more than 48 KB of shared memory only where that was asked for.
    func allow(sharedBytes bytes: Int) throws(SwanError) {
        guard bytes > sharedBytes else { return }
        try device.driver.check(
            device.driver.table.cuFuncSetAttribute(
                function, Int32(SWAN_CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), Int32(bytes)),
            "cuFuncSetAttribute(\(request))")
        sharedBytes = bytes
    }
}

/// How a kernel is started: a grid of blocks of threads.
package struct LaunchShape: Sendable, Hashable {
    /// Blocks in each direction.
    package var grid: (x: Int, y: Int, z: Int) {
        get { (gridX, gridY, gridZ) }
        set { (gridX, gridY, gridZ) = newValue }
    }
    /// Threads of a block in two directions.
    package var block: (x: Int, y: Int) {
        get { (blockX, blockY) }
        set { (blockX, blockY) = newValue }
    }
    /// Bytes of dynamic shared memory.
    package var sharedBytes: Int
    private var gridX, gridY, gridZ, blockX, blockY: Int

    /// Makes a shape; what is left out is 1.
    package init(_ x: Int, _ y: Int = 1, _ z: Int = 1, block: Int, _ blockY: Int = 1, sharedBytes: Int = 0) {
        (gridX, gridY, gridZ, blockX, self.blockY) = (x, y, z, block, blockY)
        self.sharedBytes = sharedBytes
    }

    /// The driver's limits: 2^31 - 1 blocks in the first direction, 65535 in the others.
    package var isPossible: Bool {
        gridX > 0 && gridX < 1 << 31 && (1 ..< 1 << 16).contains(gridY) && (1 ..< 1 << 16).contains(gridZ)
            && blockX * blockY > 0 && blockX * blockY <= 1024
    }
}

/// How a tensor of activations `[rows, heads, width]` is cut into tiles for the copy engine of Hopper and later.
struct TileMap {
    /// Of the first element; a multiple of 16.
    let address: UInt64
    /// The tensor's extents.
    let rows, heads, width: Int
    /// A tile's extents, of one head: at most 256 rows, and columns that fill 128 bytes.
    let tileRows, tileColumns: Int
    /// bfloat16, or a type with eight bits.
    let dtype: DType

    /// Tiles of a tensor whose columns fill 128 bytes.
    init(address: UInt64, rows: Int, heads: Int, width: Int, tileRows: Int, dtype: DType = .bfloat16) {
        (self.address, self.rows, self.heads, self.width) = (address, rows, heads, width)
        (self.tileRows, self.dtype) = (tileRows, dtype)
        tileColumns = 128 / dtype.blockBytes
    }

    /// Writes the driver's form.
    func encode(into map: UnsafeMutableRawPointer, _ driver: Driver) throws(SwanError) {
        let bytes = dtype.blockBytes
        let type = bytes == 1 ? SWAN_CU_TENSOR_MAP_DATA_TYPE_UINT8 : SWAN_CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
        let extents = [UInt64(width), UInt64(heads), UInt64(rows)]
        let strides = [UInt64(width * bytes), UInt64(heads * width * bytes)]
        let tile = [UInt32(tileColumns), 1, UInt32(tileRows)]
        try driver.check(
            driver.table.cuTensorMapEncodeTiled(
                map, Int32(type), 3, address, extents, strides, tile, [1, 1, 1],
                Int32(SWAN_CU_TENSOR_MAP_INTERLEAVE_NONE), Int32(SWAN_CU_TENSOR_MAP_SWIZZLE_128B),
                Int32(SWAN_CU_TENSOR_MAP_L2_PROMOTION_L2_128B), Int32(SWAN_CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)),
            "cuTensorMapEncodeTiled")
    }
}

/// An argument of a kernel, as the kernel declares it.
enum KernelArgument {
    case address(UInt64)
    case index(Int)  // unsigned long long
    case count(Int)  // unsigned
    case float(Float)
    case tiles(TileMap)  // of swan_hopper.cuh

    /// The memory that it stands for; nil for a number.
    var address: UInt64? {
        switch self {
        case .address(let value): value
        case .tiles(let map): map.address
        case .index, .count, .float: nil
        }
    }

    /// Bytes of memory that hold the argument, with what aligns the next one.
    var spanBytes: Int {
        if case .tiles = self { return Int(SWAN_CU_TENSOR_MAP_BYTES) }
        return Int(SWAN_CU_TENSOR_MAP_ALIGNMENT)
    }

    /// Writes the argument's bytes.
    func write(to target: UnsafeMutableRawPointer, _ driver: Driver) throws(SwanError) {
        switch self {
        case .address(let value): target.storeBytes(of: value, as: UInt64.self)
        case .index(let value): target.storeBytes(of: UInt64(value), as: UInt64.self)
        case .count(let value): target.storeBytes(of: UInt32(value), as: UInt32.self)
        case .float(let value): target.storeBytes(of: value, as: Float.self)
        case .tiles(let map): try map.encode(into: target, driver)
        }
    }
}

extension Stream {
    /// Enqueues a kernel.
    func launch(_ kernel: LoadedKernel, _ shape: LaunchShape, _ arguments: [KernelArgument]) throws(SwanError) {
        guard shape.isPossible else {
            throw SwanError(
                .cudaUnsupported,
                "\(kernel.request): a grid of \(shape.grid) blocks of \(shape.block) cannot be launched.",
                advice: "Ask for a smaller or shorter video.")
        }
        try kernel.allow(sharedBytes: shape.sharedBytes)
        let bytes = arguments.reduce(0) { $0 + $1.spanBytes }
        // A closure of the standard library throws any error: the result is handed out instead.
        let result: Result<Void, SwanError> = withUnsafeTemporaryAllocation(
            byteCount: max(bytes, 1), alignment: Int(SWAN_CU_TENSOR_MAP_ALIGNMENT)
        ) { memory in
            Result { () throws(SwanError) in
                guard var next = memory.baseAddress else { return }
                var pointers: [UnsafeMutableRawPointer?] = []
                for argument in arguments {
                    try argument.write(to: next, device.driver)
                    pointers.append(next)
                    next += argument.spanBytes
                }
                try device.driver.check(
                    device.driver.table.cuLaunchKernel(
                        kernel.function, UInt32(shape.grid.x), UInt32(shape.grid.y), UInt32(shape.grid.z),
                        UInt32(shape.block.x), UInt32(shape.block.y), 1, UInt32(shape.sharedBytes), handle, &pointers,
                        nil), "cuLaunchKernel(\(kernel.request))")
            }
        }
        try result.get()
    }
}
