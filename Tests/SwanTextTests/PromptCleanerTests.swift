import SwanText
import Testing

@Suite struct PromptCleanerTests {
    @Test(arguments: [
        ("a  cat\n\tand “dog”", "a cat and \"dog\""),
        ("&amp;lt;b&amp;gt; &amp;amp;amp;", "<b> &"),
        ("ﬁsh ＡＢＣ", "fish ABC"),
        ("it’s…", "it's…"),
        ("cat\u{200b} dog\u{a0}x\u{3000}y", "cat\u{200b} dog x y"),
        ("\u{1b}[31mred", "red"),
        ("过曝，静态", "过曝,静态"),
        ("e\u{301}", "\u{e9}"),
        ("", ""),
        (" \n\t ", ""),
    ])
    func cleansAsTheSpecificationSays(prompt: String, cleaned: String) {
        #expect(scalars(PromptCleaner.clean(prompt)) == scalars(cleaned))
    }

    /// Left out on purpose: text that was decoded in the wrong encoding stays as it is.
    @Test func leavesMojibakeAlone() {
        #expect(scalars(PromptCleaner.clean("schÃ¶n")) == scalars("schÃ¶n"))
    }

    /// 40 prompts by hand and 1,500 random ones, against ftfy and Python's `html`. Compared scalar by
    /// scalar: Swift's `==` takes a composed and a decomposed accent for the same.
    @Test func agreesWithTheReference() throws {
        let pairs = try Fixture.decoded("cleanup.json", as: [[String]].self)
        #expect(pairs.count > 1000)
        for pair in pairs {
            let cleaned = PromptCleaner.clean(pair[0])
            #expect(scalars(cleaned) == scalars(pair[1]), "\(pair[0].debugDescription): \(cleaned.debugDescription)")
        }
    }

    /// Hostile nesting stops at a bounded cost, and loses nothing.
    @Test func boundsNestedEntities() {
        let prompt = "&" + String(repeating: "amp;", count: 100_000) + "lt;"
        let cleaned = PromptCleaner.clean(prompt)
        #expect(cleaned.hasPrefix("&amp;amp;") && cleaned.hasSuffix("amp;lt;"))
        #expect(cleaned.utf8.count == prompt.utf8.count - 66 * 4)
    }

    private func scalars(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }
}
