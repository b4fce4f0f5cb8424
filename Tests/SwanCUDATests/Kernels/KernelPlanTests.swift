import SwanCUDA
import Testing

@Suite("Launches of kernels")
struct KernelPlanTests {
    @Test("examples can be launched")
    func possible() throws {
        for plan in try KernelPlan.examples() { #expect(plan.shape.isPossible, "\(plan)") }
    }

    @Test("attention's tiles cover every query and fit the shared memory")
    func attention() throws {
        for limit in [99, 163, 227].map({ $0 << 10 }) {
            for hasBias in [false, true] {
                for width in stride(from: 16, through: 512, by: 16) {
                    for queries in [1, 127, 128, 129, 32760] {
                        guard
                            let plan = KernelPlan.attention(
                                queries: queries, heads: 3, width: width, hasBias: hasBias, sharedMemoryPerBlock: limit)
                        else {
                            // The widths of Wan's transformer, its text encoder and its autoencoder always have a plan.
                            #expect(width > 384, "\(width), \(limit)")
                            continue
                        }
                        let defines = plan.request.defines.compactMapValues { Int($0) }
                        let rows = 16 * (defines["ROW_TILES"] ?? 0) * (defines["WARPS"] ?? 0)
                        let (part, keys) = (defines["PART"] ?? 0, defines["KEYS"] ?? 0)
                        #expect(rows * plan.shape.grid.x >= queries && rows * (plan.shape.grid.x - 1) < queries)
                        #expect(part * plan.shape.grid.z == width && part % 16 == 0 && keys % 16 == 0)
                        #expect(plan.shape.sharedBytes <= limit)
                        #expect(plan.shape.sharedBytes == 2 * ((rows + keys) * (width + 8) + keys * (part + 8)))
                    }
                }
            }
        }
        #expect(
            KernelPlan.attention(queries: 5, heads: 3, width: 20, hasBias: false, sharedMemoryPerBlock: 99 << 10) == nil
        )
    }

    @Test("attention on Hopper: pairs of blocks cover every query, and tiles fit the shared memory")
    func attentionSM90() {
        for queries in [1, 127, 128, 129, 256, 257, 32760, 75600] {
            let shape = KernelPlan.attentionSM90(queries: queries, heads: 40).shape
            #expect(shape.grid.x % 2 == 0 && shape.grid.x * 128 >= queries && (shape.grid.x - 2) * 128 < queries)
            #expect(shape.grid.y == 40 && shape.block.x == 384)
            // q, and two stages of k and v, of 256 bytes a row; and what aligning them may take.
            #expect(shape.sharedBytes == 256 * (128 + 2 * 2 * 176) + 1024 && shape.sharedBytes + 80 <= 227 << 10)
        }
        #expect(KernelPlan.attentionSM90(queries: 1, heads: 1).onlyArchitecture == "sm_90a")
        #expect(KernelPlan.plainAttention(queries: 1, heads: 1, width: 8, hasBias: false).onlyArchitecture == nil)
    }

    @Test("options name every define once, in a fixed order")
    func options() {
        let request = KernelRequest("add", ["VECTOR": 4, "INPUT": "float"])
        #expect(
            request.options(for: "sm_80") == [
                "--gpu-architecture=sm_80", "--std=c++17", "--ptxas-options=-v", "-DINPUT=float", "-DVECTOR=4",
            ])
        #expect("\(request)" == "add(INPUT=float, VECTOR=4)")
    }

    @Test("the assembler's account is read")
    func facts() {
        let log = """
            ptxas info    : Function properties for add
                8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
            ptxas info    : Used 48 registers, used 1 barriers
            """
        #expect(KernelFacts(log: log)?.registers == 48)
        #expect(KernelFacts(log: log)?.spilledBytes == 12)
        #expect(KernelFacts(log: "nothing") == nil)
    }

    @Test("architectures are named after the compute capability")
    func architectures() {
        #expect(ComputeCapability(8, 6).architecture == "sm_86")
        #expect(ComputeCapability(9, 0).architecture == "sm_90a")
        #expect(ComputeCapability(12, 0).architecture == "sm_120a")
        #expect(ComputeCapability(8, 9) < ComputeCapability(9, 0))
    }
}
