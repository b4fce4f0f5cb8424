import SwanCUDA
import SwanDiagnostics
import SwanTensor
import Testing

@Suite("The choice of an attention kernel")
struct AttentionKernelTests {
    private func facts(_ major: Int, _ minor: Int) -> DeviceFacts {
        DeviceFacts(
            ordinal: 0, name: "a card", capability: ComputeCapability(major, minor), multiprocessors: 100,
            sharedMemoryPerBlock: 99 << 10, cacheBytes: 50 << 20, memoryBytes: 24 << 30)
    }

    private func order(
        _ wanted: AttentionKernel? = nil, _ major: Int = 9, _ minor: Int = 0, isImitating: Bool = false,
        hasTileMaps: Bool = true, hasGraphLibrary: Bool = true
    ) throws(SwanError) -> [AttentionKernel] {
        try AttentionKernel.order(
            wanted, facts: facts(major, minor), isImitating: isImitating, hasTileMaps: hasTileMaps,
            hasGraphLibrary: hasGraphLibrary)
    }

    @Test("the fastest that runs comes first, the one that takes everything last")
    func automatic() throws {
        #expect(try order() == [.flashSM90, .cudnn, .flashSM80, .plain])
        #expect(try order(hasGraphLibrary: false) == [.flashSM90, .flashSM80, .plain])
        #expect(try order(hasTileMaps: false) == [.cudnn, .flashSM80, .plain])
        #expect(try order(isImitating: true, hasGraphLibrary: false) == [.flashSM80, .plain])
        // Hopper's instructions are on no other chip, older or newer.
        for (major, minor) in [(8, 0), (8, 9), (10, 0), (12, 0)] {
            #expect(try order(nil, major, minor) == [.cudnn, .flashSM80, .plain])
        }
    }

    @Test("the one that was asked for comes first, and the others stay for shapes that it does not take")
    func wanted() throws {
        #expect(try order(.flashSM80) == [.flashSM80, .flashSM90, .cudnn, .plain])
        #expect(try order(.cudnn, 8, 0) == [.cudnn, .flashSM80, .plain])
    }

    @Test("one that is not exact runs where it is asked for, and for many keys alone")
    func inexact() throws {
        let inexact: [AttentionKernel] = [.int8SM90, .int8SM80]
        for kernel in AttentionKernel.allCases where !inexact.contains(kernel) {
            let kernels = Set(try order(kernel))
            #expect(kernel.isExact && kernels.isDisjoint(with: inexact))
        }
        #expect(try order(.int8SM90) == [.int8SM90, .flashSM90, .cudnn, .flashSM80, .plain])
        let backend = try CUDABackend(rehearsing: facts(9, 0), attention: .int8SM90)
        #expect(!backend.isAttentionExact)
        let planned = try #require(backend.rehearsal())
        #expect(!planned.isAttentionExact)
        for (keys, name) in [(512, "cudnn"), (4096, "int8-sm90")] {
            let q = try backend.zeros([3000, 2, 128], .bfloat16)
            let k = try backend.zeros([keys, 2, 128], .bfloat16)
            _ = try backend.attention(q: q, k: k, v: k, scale: 0.1, bias: nil)
            #expect(backend.attentionKernel == name)
        }
        #expect(throws: SwanError.self) { try CUDABackend(rehearsing: facts(8, 9), attention: .int8SM90) }
        #expect(try order(.int8SM80, 8, 9) == [.int8SM80, .cudnn, .flashSM80, .plain])
    }

    @Test("one that cannot run is refused with what it needs")
    func refused() {
        func message(_ body: () throws -> [AttentionKernel]) -> String? {
            do {
                _ = try body()
                return nil
            } catch { return "\(error)" }
        }
        #expect(message { try order(.flashSM90, 8, 9) }?.contains("capability 9.0, and a card has 8.9") == true)
        #expect(message { try order(.flashSM90, isImitating: true) }?.contains("capability 9.0") == true)
        #expect(message { try order(.flashSM90, hasTileMaps: false) }?.contains("CUDA 12") == true)
        #expect(message { try order(.cudnn, hasGraphLibrary: false) }?.contains("cuDNN, which is not there") == true)
    }

    @Test("a rehearsal takes the kernel that the GPU would")
    func rehearsal() throws {
        func used(_ facts: DeviceFacts, keys: Int = 3000, width: Int, hasGraphLibrary: Bool = true) throws -> String {
            let backend = CUDABackend(rehearsing: facts, hasGraphLibrary: hasGraphLibrary)
            let q = try backend.zeros([300, 2, width], .bfloat16)
            let k = try backend.zeros([keys, 2, width], .bfloat16)
            _ = try backend.attention(q: q, k: k, v: k, scale: 0.1, bias: nil)
            return backend.attentionKernel
        }
        #expect(try used(facts(9, 0), width: 128) == "flash-sm90")
        #expect(try used(facts(9, 0), width: 64) == "cudnn")
        #expect(try used(facts(9, 0), width: 96, hasGraphLibrary: false) == "flash-sm80")
        #expect(try used(facts(8, 0), width: 128) == "cudnn")
        // The prompt's rows are too few for the softmax to hide.
        #expect(try used(facts(9, 0), keys: 512, width: 128) == "cudnn")
        #expect(try used(facts(9, 0), keys: 512, width: 128, hasGraphLibrary: false) == "flash-sm90")
    }

    @Test("the largest attention names the kernel")
    func largest() throws {
        let backend = CUDABackend(rehearsing: facts(9, 0))
        #expect(backend.attentionKernel == "flash-sm90")
        for (tokens, width) in [(5000, 128), (10, 64)] {
            let q = try backend.zeros([tokens, 2, width], .bfloat16)
            _ = try backend.attention(q: q, k: q, v: q, scale: 0.1, bias: nil)
        }
        #expect(backend.attentionKernel == "flash-sm90")
    }
}
