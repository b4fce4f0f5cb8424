import SwanCheckpoint
import SwanDiagnostics

/// The number of a network's blocks, `blocks.0. … blocks.n-1.`, from its tensors' official names.
///
/// Names are data: an index of 2⁶³ − 1, or a gap, is refused and not counted with.
///
/// - Throws: `model.configuration`, naming the first block that is missing.
func blockCount(_ source: any WeightSource) throws(SwanError) -> Int {
    var indices: Set<Int> = []
    for name in source.names {
        let parts = name.split(separator: ".", maxSplits: 2)
        if parts.count == 3, parts[0] == "blocks", let index = Int(parts[1]) { indices.insert(index) }
    }
    guard indices.count <= 4096 else {
        throw SwanError(
            .configuration, "\(source.origin) has \(indices.count) blocks, expected 4096 at most.",
            advice: "`swan inspect` shows what the file holds.")
    }
    // As many indices as the count, all below it: no gap.
    if let missing = (0 ..< indices.count).first(where: { !indices.contains($0) }) {
        throw SwanError(
            .configuration,
            "\(source.origin) has \(indices.count) blocks, and none of them is 'blocks.\(missing)'.",
            advice: "Check that every file of the model is there: `swan inspect` lists what it holds.")
    }
    return indices.count
}
