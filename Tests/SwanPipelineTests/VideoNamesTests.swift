import SwanDiagnostics
import SwanPipeline
import Testing

/// Names of the files that a run writes.
@Suite struct VideoNamesTests {
    private func paths(_ count: Int, _ output: String?, latents: String? = nil) throws -> [String] {
        let items = (0 ..< count).map { VideoItem(prompt: "A cat, on grass!", start: .seed(UInt64($0)), path: nil) }
        return try VideoNames.paths(items, output: output, latents: latents)
    }

    @Test(arguments: [
        ("a.mp4", ["a.mp4"]), ("a-%d.mp4", ["a-0.mp4"]), ("%03d/a.y4m", ["000/a.y4m"]), ("50%.mp4", ["50%.mp4"]),
        ("%s.mp4", ["%s.mp4"]), ("%5d.mp4", ["%5d.mp4"]), ("%d-%d.mp4", ["0-%d.mp4"]),
        // Of a PNG sequence the last pattern is the frame's.
        ("f/%04d.png", ["f/%04d.png"]), ("f-%d/%04d.PNG", ["f-0/%04d.PNG"]),
    ])
    func numbersOneVideo(output: String, expected: [String]) throws {
        #expect(try paths(1, output) == expected)
    }

    @Test(arguments: [
        ("%04d.mp4", ["0000.mp4", "0001.mp4", "0002.mp4"]), ("c/%d.gif", ["c/0.gif", "c/1.gif", "c/2.gif"]),
        ("%02d/%d.png", ["00/%d.png", "01/%d.png", "02/%d.png"]),
    ])
    func numbersSeveralVideos(output: String, expected: [String]) throws {
        #expect(try paths(3, output) == expected)
    }

    @Test(arguments: ["a.mp4", "100%.mp4", "%s.mp4", "%4d.mp4", "f/%04d.png"])
    func refusesOneNameForSeveral(output: String) {
        let error = #expect(throws: SwanError.self) { try paths(2, output) }
        #expect(error?.code == .outputAmbiguous)
        #expect(error?.advice.contains("%04d") == true)
    }

    @Test(arguments: [("a", "a"), ("./a", "a"), ("x//a", "x/./a"), ("/a", "//a"), ("0", "%d")])
    func refusesTheLatentsName(latents: String, output: String) {
        #expect(throws: SwanError.self) { try paths(1, output, latents: latents) }
        #expect(throws: Never.self) { try paths(1, output, latents: "/b" + latents) }
    }

    @Test func namesFollowThePromptAndTheSeed() throws {
        #expect(try paths(2, nil) == ["a-cat-on-grass-0.mp4", "a-cat-on-grass-1.mp4"])
        #expect(try paths(1, nil, latents: "a-cat-on-grass-0.mp4") == ["a-cat-on-grass-0-2.mp4"])
        func name(_ prompt: String) throws -> String {
            try VideoNames.paths(
                [VideoItem(prompt: prompt, start: .seed(1), path: nil)], output: nil, latents: nil)[0]
        }
        #expect(try name(" ../../etc/passwd ") == "etc-passwd-1.mp4")
        #expect(try name("一只猫。") == "一只猫-1.mp4")
        #expect(try name("!?") == "video-1.mp4")
        #expect(try name(String(repeating: "word ", count: 99)).utf8.count < 70)
        #expect(try name(String(repeating: "x", count: 999)) == "video-1.mp4")
    }
}
