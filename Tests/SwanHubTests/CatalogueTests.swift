import SwanDiagnostics
import SwanHub
import Testing

@Suite struct CatalogueTests {
    let catalogue = Catalogue.standard

    @Test func everyNameMeansOneModel() {
        let names = catalogue.models.flatMap { [$0.name] + $0.aliases }
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0 == $0.lowercased() && !$0.contains(" ") })
    }

    @Test func holdsTheSurveyedModels() throws {
        let surveyed = [
            "happyhorse", "wan2.2-t2v-a14b", "ltx-2.3", "mochi", "hunyuanvideo-1.5", "wan2.1-t2v-1.3b", "swan-tiny",
        ]
        for name in surveyed { _ = try catalogue.model(named: name) }
    }

    @Test(arguments: Catalogue.standard.models.map(\.name))
    func saysWhatAReaderNeeds(name: String) throws {
        let model = try catalogue.model(named: name)
        if model.runs {
            #expect(model.name == "swan-tiny" || !model.variants.isEmpty, "it cannot be fetched")
        } else {
            // It ends up inside sentences.
            let whyNot = try #require(model.whyNot)
            #expect(whyNot.first?.isLowercase == true && whyNot.last != ".")
        }
        if let nearest = model.nearestOpen {
            #expect(try catalogue.model(named: nearest).isOpen)
            #expect(model.repositories.isEmpty && model.licence == "closed")
        } else {
            #expect(model.licence != "closed")
        }
        #expect(Set(model.variants.map(\.name)).count == model.variants.count)
        for variant in model.variants {
            for part in variant.parts {
                #expect(!part.files.isEmpty && !part.repositories.isEmpty)
                #expect(Set(part.repositories.map(\.hub)).count == part.repositories.count, "one for each hub at most")
                #expect(part.places.keys.allSatisfy(part.files.contains))
            }
        }
        for repository in model.repositories { #expect(repository.id.split(separator: "/").count == 2) }
    }

    @Test(arguments: [
        ("wan2.2-t2v-a14b", "wan2.2-t2v-a14b"), ("WAN2.2-T2V-A14B", "wan2.2-t2v-a14b"),
        ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "wan2.2-t2v-a14b"), ("happyhorse", "happyhorse-1.1"),
        ("wan-2.6", "wan3.0"),
    ])
    func findsByAnyOfItsNames(asked: String, found: String) throws {
        #expect(try catalogue.model(named: asked).name == found)
    }

    @Test(arguments: [
        ("wan2.2-t2v-a14", "wan2.2-t2v-a14b"), ("wan2.1-t2v-1.3", "wan2.1-t2v-1.3b"), ("swan-tinny", "swan-tiny"),
        ("mochi-2", "mochi-1-preview"), ("hunyaunvideo", "hunyuanvideo-1.5"),
        ("wan2.1-something-else", "wan2.1-t2v-14b"), ("wan2.2-", "wan2.2-t2v-a14b"),
    ])
    func namesTheNearestForATypo(asked: String, nearest: String) throws {
        let error = try #require(throws: SwanError.self) { try catalogue.model(named: asked) }
        #expect(error.code == .modelUnknown)
        #expect(error.advice.hasPrefix("Did you mean \(nearest)"), "\(error.advice)")
        #expect(error.code.kind.rawValue == 66)
    }

    @Test(arguments: ["", "stable-diffusion-xl", "\u{1B}[31m", "q"])
    func suggestsNothingForWhatIsLikeNothing(asked: String) throws {
        let error = try #require(throws: SwanError.self) { try catalogue.model(named: asked) }
        #expect(!error.advice.contains("Did you mean"), "\(error.advice)")
        #expect(!error.message.contains("\u{1B}"))
    }
}
