import CSwanCUDA
import SwanDiagnostics

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

/// An argument of a kernel, as the kernel declares it.
enum KernelArgument {
    case address(UInt64)
    case index(Int)  // unsigned long long
    case count(Int)  // unsigned
    case float(Float)

    /// The argument's bytes at the start of eight.
    var bits: UInt64 {
        switch self {
        case .address(let value): value
        case .index(let value): UInt64(value)
        case .count(let value): UInt64(UInt32(value))
        case .float(let value): UInt64(value.bitPattern)
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
        var values = arguments.map(\.bits)
        let result = values.withUnsafeMutableBufferPointer { values in
            var pointers: [UnsafeMutableRawPointer?] = values.indices.map { index in
                values.baseAddress.map { UnsafeMutableRawPointer($0 + index) }
            }
            return device.driver.table.cuLaunchKernel(
                kernel.function, UInt32(shape.grid.x), UInt32(shape.grid.y), UInt32(shape.grid.z),
                UInt32(shape.block.x), UInt32(shape.block.y), 1, UInt32(shape.sharedBytes), handle, &pointers, nil)
        }
        try device.driver.check(result, "cuLaunchKernel(\(kernel.request))")
    }
}
