extension Catalogue {
    /// The models of the survey: the Wan family, and the other video models that people ask for.
    ///
    /// Source: publishers' repositories, model cards and configurations, and diffusers' code, as of
    /// November 2026. Parameters are those that publishers name.
    public static let standard = Catalogue(swan + wanTextToVideo + wanWithInput + others + closed)

    private static let apache = "Apache-2.0"
    private static let textToVideo = "text to video"

    // MARK: Models that run

    private static let swan = [
        CatalogueModel(
            name: "swan-tiny", title: "swan-tiny", publisher: "Swan",
            task: "text to video of a small drawn world: a demonstration of Wan2.2's design at toy scale",
            parameters: 7_000_000, activeParameters: 3_500_000, resolution: "128x128", fps: "12", licence: apache)
    ]

    private static let wanTextToVideo = [
        CatalogueModel(
            name: "wan2.2-t2v-a14b", aliases: ["wan2.2", "wan2.2-t2v"], title: "Wan2.2-T2V-A14B", publisher: "Wan-AI",
            task: textToVideo, parameters: 27_000_000_000, activeParameters: 14_000_000_000,
            resolution: "480p, 720p", fps: "16", licence: apache, downloadBytes: 126_201_624_156,
            repositories: wanAI("Wan2.2-T2V-A14B", "Wan2.2-T2V-A14B-Diffusers"),
            variants: variants("Wan2.2-T2V-A14B", 126_201_624_156)
                + ModelVariant.textToVideoA14B(wanAI("Wan2.2-T2V-A14B"))),
        CatalogueModel(
            name: "wan2.1-t2v-14b", aliases: ["wan2.1", "wan2.1-t2v"], title: "Wan2.1-T2V-14B", publisher: "Wan-AI",
            task: textToVideo, parameters: 14_000_000_000, activeParameters: 14_000_000_000,
            resolution: "480p, 720p", fps: "16", licence: apache, downloadBytes: 69_045_000_000,
            repositories: wanAI("Wan2.1-T2V-14B", "Wan2.1-T2V-14B-Diffusers"),
            variants: variants("Wan2.1-T2V-14B", 69_045_000_000)),
        CatalogueModel(
            name: "wan2.1-t2v-1.3b", title: "Wan2.1-T2V-1.3B", publisher: "Wan-AI", task: textToVideo,
            parameters: 1_300_000_000, activeParameters: 1_300_000_000, resolution: "480p", fps: "16",
            licence: apache, downloadBytes: 17_567_000_000,
            repositories: wanAI("Wan2.1-T2V-1.3B", "Wan2.1-T2V-1.3B-Diffusers"),
            variants: variants("Wan2.1-T2V-1.3B", 17_567_000_000)),
    ]

    // MARK: Models of the family that take more than a text

    private static let wanWithInput = [
        CatalogueModel(
            name: "wan2.2-i2v-a14b", title: "Wan2.2-I2V-A14B", publisher: "Wan-AI", task: "image and text to video",
            parameters: 27_000_000_000, activeParameters: 14_000_000_000, resolution: "480p, 720p", fps: "16",
            licence: apache, downloadBytes: 126_200_000_000,
            repositories: wanAI("Wan2.2-I2V-A14B", "Wan2.2-I2V-A14B-Diffusers"),
            whyNot: "it starts from a picture, and there is no picture input yet"),
        CatalogueModel(
            name: "wan2.2-ti2v-5b", title: "Wan2.2-TI2V-5B", publisher: "Wan-AI",
            task: "text, or image and text, to video",
            parameters: 5_000_000_000, activeParameters: 5_000_000_000,
            resolution: "1280x704", fps: "24", licence: apache, downloadBytes: 34_200_000_000,
            repositories: wanAI("Wan2.2-TI2V-5B", "Wan2.2-TI2V-5B-Diffusers"),
            whyNot: "it has an autoencoder of its own with 48 latent channels, which is not built yet"),
        CatalogueModel(
            name: "wan2.1-i2v-14b", title: "Wan2.1-I2V-14B (480P, 720P)", publisher: "Wan-AI",
            task: "image and text to video", parameters: 14_000_000_000, activeParameters: 14_000_000_000,
            resolution: "480p, 720p", fps: "16", licence: apache,
            repositories: wanAI("Wan2.1-I2V-14B-720P", "Wan2.1-I2V-14B-480P"),
            whyNot: "it starts from a picture and also needs a CLIP image encoder"),
        CatalogueModel(
            name: "wan2.1-vace-14b", title: "Wan2.1-VACE-14B", publisher: "Wan-AI",
            task: "control and editing of video", parameters: 14_000_000_000,
            resolution: "480p, 720p", fps: "16", licence: apache, repositories: wanAI("Wan2.1-VACE-14B"),
            whyNot: "its control branch and video input are not built yet"),
        CatalogueModel(
            name: "wan2.1-vace-1.3b", title: "Wan2.1-VACE-1.3B", publisher: "Wan-AI",
            task: "control and editing of video", parameters: 1_300_000_000, resolution: "480p", fps: "16",
            licence: apache, repositories: wanAI("Wan2.1-VACE-1.3B"),
            whyNot: "its control branch and video input are not built yet"),
        CatalogueModel(
            name: "wan2.2-vace-fun-a14b", title: "Wan2.2-VACE-Fun-A14B", publisher: "alibaba-pai",
            task: "control and editing of video", parameters: 27_000_000_000, activeParameters: 14_000_000_000,
            resolution: "480p, 720p", fps: "16", licence: apache,
            repositories: both("alibaba-pai/Wan2.2-VACE-Fun-A14B"),
            whyNot: "its control branch and video input are not built yet"),
        CatalogueModel(
            name: "wan2.2-animate-14b", title: "Wan2.2-Animate-14B", publisher: "Wan-AI",
            task: "a person's motion onto another's picture", parameters: 17_000_000_000,
            activeParameters: 17_000_000_000, resolution: "720p", fps: "30", licence: apache,
            downloadBytes: 82_300_000_000, repositories: wanAI("Wan2.2-Animate-14B"),
            whyNot: "it needs motion, face and CLIP encoders, and poses found by other programs"),
        CatalogueModel(
            name: "wan2.2-animate-2-14b", title: "Wan2.2-Animate-2-14B", publisher: "Wan-AI",
            task: "a person's motion onto another's picture", parameters: 14_000_000_000, resolution: "720p",
            fps: "24-30", licence: apache, repositories: wanAI("Wan2.2-Animate-2-14B"),
            whyNot: "it needs reference frames with their own attention mask, and a CLIP encoder"),
        CatalogueModel(
            name: "wan2.2-s2v-14b", title: "Wan2.2-S2V-14B", publisher: "Wan-AI", task: "speech and image to video",
            parameters: 16_000_000_000, resolution: "480p, 720p", fps: "16", licence: apache,
            repositories: wanAI("Wan2.2-S2V-14B"), whyNot: "it is led by sound and needs a wav2vec2 encoder"),
    ]

    // MARK: Other families

    private static let others = [
        CatalogueModel(
            name: "ltx-2.3", title: "LTX-2.3", publisher: "Lightricks", task: "text or image to video with sound",
            parameters: 22_000_000_000, activeParameters: 22_000_000_000, resolution: "to 1080p", fps: "24-60",
            licence: "LTX-2 Community",
            licenceLimits: ltxLimits,
            downloadBytes: 46_150_000_000, repositories: [hugging("Lightricks/LTX-2.3")],
            whyNot: "it needs a Gemma 3 text encoder, a transformer of two streams and an audio path"),
        CatalogueModel(
            name: "ltx-2.5", aliases: ["ltx"], title: "LTX-2.5", publisher: "Lightricks",
            task: "text or image to video with sound", parameters: 22_000_000_000, activeParameters: 22_000_000_000,
            resolution: "to 1080p", fps: "24-60", licence: "LTX-2.x Community",
            licenceLimits: "terms have to be accepted before the download; " + ltxLimits,
            downloadBytes: 71_000_000_000, repositories: [hugging("Lightricks/LTX-2.5")],
            whyNot: "it needs a Gemma 4 text encoder, a transformer of two streams and an audio path"),
        CatalogueModel(
            name: "hunyuanvideo-1.5", aliases: ["hunyuanvideo", "hunyuan"], title: "HunyuanVideo-1.5",
            publisher: "Tencent", task: "text or image to video", parameters: 8_300_000_000,
            activeParameters: 8_300_000_000, resolution: "480p, 720p", fps: "24", licence: "Tencent Community",
            licenceLimits: "not for use in the EU, the United Kingdom and South Korea; asks for a licence from"
                + " 100 million monthly users",
            downloadBytes: 338_000_000_000, repositories: [hugging("tencent/HunyuanVideo-1.5")],
            whyNot: "it needs a Qwen2.5-VL text encoder and joint attention of text and video"),
        CatalogueModel(
            name: "mochi-1-preview", aliases: ["mochi", "mochi-1"], title: "Mochi 1 preview", publisher: "Genmo",
            task: textToVideo, parameters: 10_000_000_000, activeParameters: 10_000_000_000, resolution: "848x480",
            fps: "30", licence: apache, downloadBytes: 30_500_000_000,
            repositories: [hugging("genmo/mochi-1-preview")],
            whyNot: "it needs a T5-XXL text encoder, joint attention of text and video, and its own autoencoder"),
        CatalogueModel(
            name: "davinci-magihuman", aliases: ["magihuman"], title: "daVinci-MagiHuman",
            publisher: "SII-GAIR, Sand.ai", task: "text or image to video of people, with speech",
            parameters: 15_000_000_000, activeParameters: 15_000_000_000, resolution: "256p to 1080p", fps: "25",
            licence: apache,
            licenceLimits: "its text encoder is under the Gemma terms, its audio autoencoder under the Stability"
                + " Community licence (free below 1 million dollars of yearly revenue)",
            repositories: [hugging("GAIR/daVinci-MagiHuman")],
            whyNot: "it needs a T5Gemma text encoder, Wan2.2's 48-channel autoencoder and an audio path"),
        CatalogueModel(
            name: "minimax-h3", aliases: ["h3"], title: "MiniMax-H3", publisher: "MiniMax",
            task: "text or image to video with sound", parameters: 33_000_000_000, activeParameters: 20_000_000_000,
            resolution: "768p", fps: "24", licence: "MiniMax Community",
            licenceLimits: "not for use in the USA, the EU, the United Kingdom and South Korea, outputs included;"
                + " asks for a licence from 20 million dollars of yearly revenue; the name has to be shown",
            downloadBytes: 465_000_000_000, repositories: [hugging("MiniMaxAI/MiniMax-H3")],
            whyNot: "its licence shuts out many countries, and it needs a text encoder of 32B parameters"),
    ]

    private static let ltxLimits =
        "paid from 10 million dollars of yearly revenue; no product that competes with the licensor's; outputs may not"
        + " train other models commercially"

    // MARK: Models without published weights

    private static let closed = [
        CatalogueModel(
            name: "happyhorse-1.1", aliases: ["happyhorse", "happyhorse-1.0"], title: "HappyHorse 1.0 and 1.1",
            publisher: "Alibaba", task: "text or image to video with sound", resolution: "720p, 1080p",
            licence: "closed", whyNot: "its weights are not published, it is sold as a service only",
            nearestOpen: "davinci-magihuman"),
        CatalogueModel(
            name: "wan3.0", aliases: ["wan2.5", "wan2.6", "wan2.7", "wan-2.5", "wan-2.6", "wan-2.7", "wan-3.0"],
            title: "Wan 2.5, 2.6, 2.7 and 3.0", publisher: "Wan-AI", task: "text or image to video with sound",
            resolution: "to 1080p", licence: "closed",
            whyNot: "its weights are not published, it is sold as a service only", nearestOpen: "wan2.2-t2v-a14b"),
    ]

    // MARK: Short forms

    private static func hugging(_ id: String) -> CatalogueModel.Repository { .init(hub: .huggingFace, id: id) }

    private static func both(_ id: String) -> [CatalogueModel.Repository] {
        [hugging(id), .init(hub: .modelScope, id: id)]
    }

    /// The publisher's own files, and the same in diffusers' layout.
    private static func variants(_ name: String, _ bytes: Int) -> [ModelVariant] {
        [.official(wanAI(name), bytes), .diffusers(wanAI(name + "-Diffusers"), bytes)]
    }

    private static func wanAI(_ names: String...) -> [CatalogueModel.Repository] {
        names.flatMap { both("Wan-AI/\($0)") }
    }
}
