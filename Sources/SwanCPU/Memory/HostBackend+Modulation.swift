public import SwanDiagnostics
public import SwanTensor

extension HostBackend {
    /// See `NormalizationOps.modulation(_:table:)`. A few thousand values per block: not worth threads.
    public func modulation(_ timestep: Tensor, table: Tensor) throws(SwanError) -> Tensor {
        let shapes = try ModulationShapes(timestep: timestep, table: table)
        let (timestep, table) = (try floats(timestep), try floats(table))
        let (result, target) = try result([shapes.parts, shapes.groups, shapes.width])
        let perGroup = shapes.hasParts ? shapes.parts * shapes.width : shapes.width
        for part in 0 ..< shapes.parts {
            for group in 0 ..< shapes.groups {
                let source = timestep + group * perGroup + (shapes.hasParts ? part * shapes.width : 0)
                let row = target + (part * shapes.groups + group) * shapes.width
                for i in 0 ..< shapes.width { row[i] = table[part * shapes.width + i] + source[i] }
            }
        }
        return result
    }
}
