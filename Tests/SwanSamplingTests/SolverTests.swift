import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// Guards schedules and solvers against the official classes, on a scalar flow that is known in closed
/// form and on latents.
@Suite struct SolverTests {
    /// `x_0 … x_8` of `v(x, t) = 0.3 x + sin(t / 100)` from 1, by the official classes in float32.
    static let scalar: [(solver: SolverName, shift: Double, values: [Float])] = [
        (
            .unipc, 5,
            [1.0, 1.00654829, 1.00222588, 0.97552961, 0.91419619, 0.79947382, 0.66088492, 0.81796181, 1.07024550]
        ),
        (
            .dpmpp, 5,
            [1.0, 1.00677836, 1.00639367, 0.98511964, 0.92765921, 0.81367916, 0.66323566, 0.78065807, 1.03777301]
        ),
        (
            .euler, 5,
            [1.0, 1.00677836, 1.00646734, 0.99076653, 0.94473535, 0.84717578, 0.69815671, 0.66143423, 0.93490183]
        ),
        (
            .unipc, 12,
            [1.0, 1.00277412, 1.00421500, 1.00184238, 0.99234277, 0.96128070, 0.87080389, 0.61573106, 0.48218894]
        ),
        (
            .dpmpp, 12,
            [1.0, 1.00287080, 1.00498927, 1.00370538, 0.99516422, 0.96650445, 0.87872171, 0.62098265, 0.48638922]
        ),
        (
            .euler, 12,
            [1.0, 1.00287080, 1.00502145, 1.00499547, 0.99905765, 0.97688079, 0.90712899, 0.69466627, 0.54245698]
        ),
        (.euler, 5, [1.0, 1.01525128, 0.97834158, 0.73234230, 0.61576509]),
    ]

    @Test(arguments: TestDevice.requested, scalar.indices)
    func followsTheScalarFlow(device: TestDevice, row: Int) throws {
        let backend = try device.open()
        let (name, shift, values) = Self.scalar[row]
        let schedule = try FlowSchedule(name, steps: values.count - 1, shift: shift)
        var solver = name.makeSolver(schedule)
        var x = try backend.upload(HostTensor([1], [values[0]]), as: .float32)
        for step in 0 ..< schedule.steps {
            let here = try backend.download(x)[0]
            let velocity = 0.3 * Double(here) + sin(schedule.timesteps[step] / 100)
            x = try solver.step(
                step, velocity: backend.upload(HostTensor([1], [Float(velocity)]), as: .float32), latent: x, on: backend
            )
            let next = try backend.download(x)[0]
            #expect(
                abs(next - values[step + 1]) <= 2e-6,
                "\(name) shift \(shift), step \(step): \(next), expected \(values[step + 1])")
        }
    }

    static let trajectories: [(solver: SolverName, steps: Int, shift: Int)] = [
        (.unipc, 8, 5), (.unipc, 8, 12), (.unipc, 2, 5), (.unipc, 1, 5), (.dpmpp, 8, 5), (.dpmpp, 8, 12),
        (.dpmpp, 2, 5),
        (.dpmpp, 1, 5), (.euler, 8, 5), (.euler, 4, 5), (.euler, 1, 5),
    ]

    /// The field of the goldens: `tanh(0.8 x + b + sin(t / 100))`.
    private func velocity(_ x: [Float], timestep: Double) throws -> [Float] {
        let bias = try filledInput("input.field", [x.count]).floats()
        return zip(x, bias).map { x, b in Float(tanh(0.8 * Double(x) + Double(b) + sin(timestep / 100))) }
    }

    @Test(arguments: TestDevice.requested, trajectories.indices)
    func followsTheOfficialTrajectory(device: TestDevice, row: Int) throws {
        let backend = try device.open()
        let (name, steps, shift) = Self.trajectories[row]
        let golden = try Fixture.open("sampling/trajectories.safetensors")
        let key = "\(name.rawValue).steps\(steps).shift\(shift)"
        let schedule = try FlowSchedule(name, steps: steps, shift: Double(shift))
        #expect(try golden.tensor(key + ".timesteps").floats() == schedule.timesteps.map(Float.init))
        #expect(try golden.tensor(key + ".sigmas").floats() == schedule.sigmas.map(Float.init))

        let latents = try golden.tensor(key).floats()
        let shape: Shape = [16, 3, 4, 4]
        var solver = name.makeSolver(schedule)
        var x = try backend.upload(filledInput("input.noise", shape), as: .float32)
        for step in 0 ..< steps {
            let velocity = try velocity(backend.download(x), timestep: schedule.timesteps[step])
            x = try solver.step(
                step, velocity: backend.upload(HostTensor(shape, velocity), as: .float32), latent: x, on: backend)
            let error = Deviation(
                try backend.download(x), Array(latents[step * shape.count ..< (step + 1) * shape.count]))
            #expect(error.relative <= 1e-5, "step \(step): \(error)")
        }
    }

    /// A solver that takes over what another remembers goes on with the same bits, from every step. Nothing else is
    /// remembered: the memory goes through host memory, as it does on its way to a disk.
    @Test(arguments: TestDevice.requested, trajectories.indices)
    func goesOnWhereAnotherStopped(device: TestDevice, row: Int) throws {
        let backend = try device.open()
        let (name, steps, shift) = Self.trajectories[row]
        let schedule = try FlowSchedule(name, steps: steps, shift: Double(shift))
        let shape: Shape = [16, 3, 4, 4]
        func run(_ solver: inout any Solver, _ x: inout Tensor, _ range: Range<Int>) throws {
            for step in range {
                let velocity = try velocity(backend.download(x), timestep: schedule.timesteps[step])
                x = try solver.step(
                    step, velocity: backend.upload(HostTensor(shape, velocity), as: .float32), latent: x, on: backend)
            }
        }
        let start = filledInput("input.noise", shape)
        var whole = name.makeSolver(schedule)
        var x = try backend.upload(start, as: .float32)
        try run(&whole, &x, 0 ..< steps)
        let expected = try backend.download(x).map(\.bitPattern)
        for split in 0 ... steps {
            var first = name.makeSolver(schedule)
            var x = try backend.upload(start, as: .float32)
            try run(&first, &x, 0 ..< split)
            var memory: [String: Tensor] = [:]
            for (name, values) in first.memory {
                memory[name] = try backend.upload(HostTensor(shape, backend.download(values)), as: .float32)
            }
            var second = name.makeSolver(schedule)
            try second.resume(at: split, with: memory)
            try run(&second, &x, split ..< steps)
            #expect(try backend.download(x).map(\.bitPattern) == expected, "split at \(split)")
        }
    }

    @Test func whatIsNotRememberedIsMissed() throws {
        let backend = try TestDevice.reference.open()
        let schedule = try FlowSchedule(.unipc, steps: 8, shift: 5)
        var solver = SolverName.unipc.makeSolver(schedule)
        let tensor = try backend.upload(HostTensor([1], [0]), as: .float32)
        for (step, memory) in [(1, [:]), (2, ["latest": tensor, "corrected": tensor])] as [(Int, [String: Tensor])] {
            let error = #expect(throws: SwanError.self) { try solver.resume(at: step, with: memory) }
            #expect(error?.code == .memoryIncomplete)
        }
    }

    /// Steps whose timesteps are equal must not confuse a solver: at shift 12 the first two of 100 are.
    @Test func countsStepsWhoseTimestepsAreEqual() throws {
        let backend = try TestDevice.reference.open()
        let schedule = try FlowSchedule(.unipc, steps: 100, shift: 12)
        #expect(schedule.timesteps[0] == schedule.timesteps[1])
        var solver = SolverName.unipc.makeSolver(schedule)
        // The flow towards a constant: whatever the steps, its end is the constant.
        var x = try backend.upload(HostTensor([2], [3, -1]), as: .float32)
        for step in 0 ..< 100 {
            let here = try backend.download(x)
            let velocity = here.map { ($0 - 0.25) / Float(schedule.sigmas[step]) }
            x = try solver.step(
                step, velocity: backend.upload(HostTensor([2], velocity), as: .float32), latent: x, on: backend)
        }
        for value in try backend.download(x) { #expect(abs(value - 0.25) < 1e-4) }
    }

    @Test func switchesExpertsWhereTheOfficialCodeDoes() throws {
        for name in [SolverName.unipc, .dpmpp] {
            #expect(try FlowSchedule(name, steps: 40, shift: 12).firstLowNoiseStep(boundary: 0.875) == 26)
        }
        #expect(try FlowSchedule(.euler, steps: 4, shift: 5).firstLowNoiseStep(boundary: 0.875) == 2)
        #expect(try FlowSchedule(.unipc, steps: 40, shift: 5).firstLowNoiseStep(boundary: 0.9) == 15)
    }

    @Test func timestepsOfTheTables() throws {
        let official = try FlowSchedule(.unipc, steps: 40, shift: 12)
        #expect(official.timesteps.prefix(3) == [999, 997, 995])
        #expect(official.timesteps[20] == 922)
        #expect(official.timesteps[39] == 235)
        #expect(try FlowSchedule(.dpmpp, steps: 40, shift: 12).timesteps[20] == 923)
        #expect(
            try FlowSchedule(.euler, steps: 4, shift: 5).timesteps.map(Float.init) == [1000, 937.5, 833.33331, 625])
    }

    @Test(arguments: [(0, 5.0), (-3, 5), (1001, 5), (4, 0), (4, -1), (4, .nan), (4, .infinity)])
    func refusesSchedulesThatCannotBe(steps: Int, shift: Double) {
        let error = #expect(throws: SwanError.self) { try FlowSchedule(.unipc, steps: steps, shift: shift) }
        #expect(error?.code == .invalidSchedule)
    }
}
