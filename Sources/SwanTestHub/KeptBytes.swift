import Foundation

/// Bytes of contents that a cache of models holds, as the next download counts them: finished files, and of unfinished
/// ones those that their notes speak of.
///
/// - Parameter cache: the folder of all repositories.
public func keptBytes(inCache cache: String) -> Int {
    func names(_ folder: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }
    var bytes = 0
    for repository in names(cache) where repository.hasPrefix("models--") {
        var finished: Set<String> = []
        for name in names("\(cache)/\(repository)/blobs") where !name.contains(".") {
            let path = "\(cache)/\(repository)/blobs/\(name)"
            bytes += (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
            finished.insert(name)
        }
        // 72 bytes, then the written and the synced bytes of each piece.
        let locks = "\(cache)/.locks/\(repository)"
        for name in names(locks) where name.hasSuffix(".progress") && !finished.contains(String(name.dropLast(9))) {
            let notes = [UInt8](FileManager.default.contents(atPath: "\(locks)/\(name)") ?? Data())
            guard notes.count > 72 else { continue }
            for place in stride(from: 72, to: 72 + (notes.count - 72) / 2, by: 8) {
                bytes += (0 ..< 8).reduce(0) { $0 | Int(notes[place + $1]) << (8 * $1) }
            }
        }
    }
    return bytes
}
