import Glibc
public import SwanDiagnostics

/// Names of the files that a run writes.
public enum VideoNames {
    /// The path of every video: the output that was asked for, numbered where it holds a pattern, else a
    /// name from prompt and seed that nothing has.
    ///
    /// A pattern is `%d` or `%04d`; the first is replaced by the video's number, from 0. In the path of a PNG
    /// sequence the last pattern stands for the frame, and stays.
    ///
    /// - Parameters:
    ///   - items: the videos.
    ///   - output: as the user wrote it; nil for names of Swan's own.
    ///   - latents: another file that the run writes.
    ///   - isPlanned: whether something else is to write a file of this path, which counts as there already.
    /// - Throws: `pipeline.output-ambiguous` when two files would have one name.
    public static func paths(
        _ items: [VideoItem], output: String?, latents: String?, isPlanned: (String) -> Bool = { _ in false }
    ) throws(SwanError) -> [String] {
        var taken = Set([latents].compactMap { $0 }.map(normalized))
        var paths: [String] = []
        for (index, item) in items.enumerated() {
            let path =
                output.map { numbered($0, index) }
                ?? free(item) { taken.contains($0) || access($0, F_OK) == 0 || isPlanned($0) }
            guard taken.insert(normalized(path)).inserted else {
                let what = items.count > 1 ? "\(items.count) videos" : "A video and its latents"
                throw SwanError(
                    .outputAmbiguous, "\(what) would go into one file, \(path.printable()).",
                    advice: "Give each a name of its own: several videos need a number in theirs, as clips/%04d.mp4.")
            }
            paths.append(path)
        }
        return paths
    }

    /// A path with its first pattern replaced by a number.
    private static func numbered(_ path: String, _ index: Int) -> String {
        let patterns = path.matches(of: #/%(?:0([1-9]|1[0-9]))?d/#)
        let ofVideos = path.lowercased().hasSuffix(".png") ? patterns.dropLast() : patterns[...]
        guard let pattern = ofVideos.first else { return path }
        let number = String(index)
        let digits = pattern.1.flatMap { Int($0) } ?? 0
        return path[..<pattern.range.lowerBound] + String(repeating: "0", count: max(0, digits - number.count)) + number
            + path[pattern.range.upperBound...]
    }

    /// A name from prompt and seed that is not taken: `a-cat-walking-on-the-grass-42.mp4`.
    private static func free(_ item: VideoItem, isTaken: (String) -> Bool) -> String {
        var name = slug(item.prompt)
        if case .seed(let seed) = item.start { name += "-\(seed)" }
        var path = name + ".mp4"
        var number = 2
        while isTaken(path) {
            path = "\(name)-\(number).mp4"
            number += 1
        }
        return path
    }

    /// The prompt's letters and digits, words joined by hyphens, below 60 bytes.
    private static func slug(_ prompt: String) -> String {
        var name = ""
        for word in prompt.lowercased().split(whereSeparator: { !$0.isLetter && !$0.isNumber }) {
            guard (name + word).utf8.count < 60 else { break }
            name += name.isEmpty ? word : "-" + word
        }
        return name.isEmpty ? "video" : name
    }

    /// The path without what changes nothing, so that two ways of writing it are one.
    private static func normalized(_ path: String) -> String {
        let parts = path.split(separator: "/").filter { $0 != "." }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }
}

extension SwanError.Code {
    /// Several files were asked for under one name.
    public static let outputAmbiguous = Self("pipeline.output-ambiguous", .usage)
}
