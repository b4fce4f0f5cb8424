/// One published form of a model: a precision, a layout, or an addition.
public struct ModelVariant: Sendable, Hashable, Codable {
    /// Files of one repository.
    public struct Part: Sendable, Hashable, Codable {
        /// Where the same files are, one repository for each hub at most.
        public var repositories: [CatalogueModel.Repository]
        /// The branch or tag; nil for the hub's own.
        public var revision: String?
        /// Patterns of the paths that are needed, in the form of shells; `*` also stands for slashes.
        public var files: [String]
        /// Where a file goes in the model's folder, by its path in the repository; others keep their path.
        public var places: [String: String] = [:]

        /// Those of ``files`` that are no patterns: each is needed, while a pattern may match nothing.
        var plainNames: [String] { files.filter { !$0.contains { "*?[".contains($0) } } }
    }

    /// What users type: `fp8`.
    public var name: String
    /// What it is, in a line.
    public var title: String
    /// Bytes of its files, about.
    public var bytes: Int?
    /// Where its files are.
    public var parts: [Part]
}

extension CatalogueModel {
    /// The variant of a name, in any case, with or without the file format in front; the first where none is named.
    public func variant(named name: String?) -> ModelVariant? {
        guard let name = name?.lowercased() else { return variants.first }
        return variants.first { $0.name == name || $0.name == "gguf-" + name }
    }

    /// The name under which a variant is found again: the model's own for the first, else both.
    public func fullName(_ variant: ModelVariant) -> String {
        variant == variants.first ? name : "\(name)-\(variant.name)"
    }
}

extension ModelVariant {
    /// What every Wan model needs of its official repository, beside the transformer.
    private static let common = [
        "*.json", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth", "google/umt5-xxl/*", "LICENSE*",
    ]

    /// The official repository of a Wan model.
    static func official(_ repositories: [CatalogueModel.Repository], _ bytes: Int) -> Self {
        Self(
            name: "fp32", title: "the publisher's own files, experts in float32", bytes: bytes,
            parts: [
                Part(
                    repositories: repositories,
                    files: ["high_noise_model/*", "low_noise_model/*", "diffusion_pytorch_model*"] + common)
            ])
    }

    /// The same weights in the layout of diffusers.
    static func diffusers(_ repositories: [CatalogueModel.Repository], _ bytes: Int) -> Self {
        Self(
            name: "diffusers", title: "the same in the layout of diffusers", bytes: bytes,
            parts: [
                Part(
                    repositories: repositories,
                    files: [
                        "model_index.json", "scheduler/*", "transformer/*", "transformer_2/*", "text_encoder/*",
                        "tokenizer/*", "vae/*", "LICENSE*",
                    ])
            ])
    }

    /// The other forms of Wan2.2-T2V-A14B.
    static func textToVideoA14B(_ official: [CatalogueModel.Repository]) -> [Self] {
        let tokenizer = Part(repositories: official, files: ["google/umt5-xxl/*"])
        func comfy(_ name: String, _ title: String, _ bytes: Int, _ suffix: String, _ encoder: String) -> Self {
            Self(
                name: name, title: title, bytes: bytes,
                parts: [
                    Part(
                        repositories: both("Comfy-Org/Wan_2.2_ComfyUI_Repackaged"),
                        files: [
                            "split_files/diffusion_models/wan2.2_t2v_high_noise_14B_\(suffix).safetensors",
                            "split_files/diffusion_models/wan2.2_t2v_low_noise_14B_\(suffix).safetensors",
                            "split_files/text_encoders/\(encoder).safetensors",
                            "split_files/vae/wan_2.1_vae.safetensors",
                        ]), tokenizer,
                ])
        }
        func gguf(_ form: String, _ bytes: Int?) -> Self {
            Self(
                name: "gguf-" + form.lowercased(), title: "GGUF, experts and text encoder quantised: \(form)",
                bytes: bytes,
                parts: [
                    Part(
                        repositories: both("QuantStack/Wan2.2-T2V-A14B-GGUF"),
                        files: [
                            "HighNoise/Wan2.2-T2V-A14B-HighNoise-\(form).gguf",
                            "LowNoise/Wan2.2-T2V-A14B-LowNoise-\(form).gguf", "VAE/Wan2.1_VAE.safetensors",
                        ]),
                    Part(
                        repositories: both("city96/umt5-xxl-encoder-gguf"), files: ["umt5-xxl-encoder-Q8_0.gguf"]),
                    tokenizer,
                ])
        }
        let folder = "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1"
        let modelScope = official.filter { $0.hub == .modelScope }
        return [
            Self(
                name: "bf16", title: "the publisher's experts in bfloat16, on ModelScope only", bytes: 69_050_000_000,
                parts: [
                    Part(
                        repositories: modelScope, revision: "bf16",
                        files: ["high_noise_model/*", "low_noise_model/*"] + common)
                ]),
            comfy("fp16", "experts and text encoder in float16", 68_800_000_000, "fp16", "umt5_xxl_fp16"),
            comfy(
                "fp8", "experts and text encoder in 8-bit floats with scales", 35_600_000_000, "fp8_scaled",
                "umt5_xxl_fp8_e4m3fn_scaled"),
            gguf("Q8_0", 37_100_000_000), gguf("Q6_K", nil), gguf("Q5_K_M", nil),
            gguf("Q4_K_M", 25_600_000_000),
            Self(
                name: "lightning", title: "the publisher's files and the LoRA pair for four steps",
                bytes: 128_700_000_000,
                parts: [
                    Part(repositories: official, files: ["high_noise_model/*", "low_noise_model/*"] + common),
                    Part(
                        repositories: both("lightx2v/Wan2.2-Lightning"),
                        files: ["\(folder)/high_noise_model.safetensors", "\(folder)/low_noise_model.safetensors"],
                        places: [
                            "\(folder)/high_noise_model.safetensors": "lightning/high_noise_model.safetensors",
                            "\(folder)/low_noise_model.safetensors": "lightning/low_noise_model.safetensors",
                        ]),
                ]),
        ]
    }

    /// A repository that both hubs have under the same name.
    private static func both(_ id: String) -> [CatalogueModel.Repository] {
        [.init(hub: .huggingFace, id: id), .init(hub: .modelScope, id: id)]
    }

    /// A whole repository, without what only its page shows.
    static func repository(_ repositories: [CatalogueModel.Repository], revision: String?, include: [String]) -> Self {
        Self(
            name: "", title: repositories[0].id, bytes: nil,
            parts: [Part(repositories: repositories, revision: revision, files: include)])
    }
}
