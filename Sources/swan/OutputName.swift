import FoundationEssentials
import SwanPipeline

/// Names for videos that were given none.
enum OutputName {
    /// A name from prompt and seed that is not taken: `a-cat-walking-on-the-grass-42.mp4`.
    static func free(for item: VideoItem, taken: Set<String>) -> String {
        var name = slug(item.prompt)
        if case .seed(let seed) = item.start { name += "-\(seed)" }
        func isTaken(_ path: String) -> Bool { taken.contains(path) || FileManager.default.fileExists(atPath: path) }
        var path = name + ".mp4"
        var number = 2
        while isTaken(path) {
            path = "\(name)-\(number).mp4"
            number += 1
        }
        return path
    }

    /// The prompt's letters and digits, words joined by hyphens, at most 60 characters.
    private static func slug(_ prompt: String) -> String {
        var words = [""]
        for character in prompt.lowercased() {
            if character.isLetter || character.isNumber {
                words[words.count - 1].append(character)
            } else if !(words.last ?? "").isEmpty {
                words.append("")
            }
        }
        var name = ""
        for word in words where !word.isEmpty {
            guard (name + word).utf8.count < 60 else { break }
            name += name.isEmpty ? word : "-" + word
        }
        return name.isEmpty ? "video" : name
    }
}
