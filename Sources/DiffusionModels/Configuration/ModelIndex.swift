/// What a pipeline's `model_index.json` says.
struct ModelIndex: Equatable, Sendable {
    let family: ModelFamily
    /// No negative prompt means zeros instead of the embedding of an empty text.
    let forcesZerosForEmptyPrompt: Bool
    /// The scheduler's class; nil when it is no text.
    let schedulerClass: String?

    /// Reads `folder/model_index.json`. Throws ``WeightsError``: the folder or the file is
    /// missing or damaged, it is another pipeline, or a component is not listed.
    init(folder: String) throws(WeightsError) {
        guard fileExists(folder), danglingLink(on: folder) == nil else {
            throw .absent(folder, advice: Self.advice)
        }
        let fields = try ConfigurationFields(
            path: "\(folder)/model_index.json", adviceWhenMissing: Self.advice)
        let className = try fields.string("_class_name")
        guard let family = ModelFamily(rawValue: className) else {
            let known = ModelFamily.allCases.map(\.rawValue).joined(separator: " or ")
            throw fields.error("_class_name", expected: known)
        }
        self.family = family
        for component in family.components { try Self.checkPresent(component, in: fields) }
        schedulerClass = Self.className(of: "scheduler", in: fields)
        forcesZerosForEmptyPrompt =
            try fields.bool("force_zeros_for_empty_prompt", default: true)
            && family == .stableDiffusionXL
    }

    private static let advice =
        "give a folder in the diffusers layout (model_index.json, unet, vae, text_encoder, "
        + "tokenizer, scheduler), for instance SDXL's, or write one with tessera synthesize"

    private static func className(
        of component: String, in fields: ConfigurationFields
    ) -> String? {
        guard case .array(let entry)? = fields.value(component),
            case .string(let name)? = entry.last
        else { return nil }
        return name
    }

    /// The index names a library and a class for every component that is there.
    private static func checkPresent(
        _ component: String,
        in fields: ConfigurationFields
    ) throws(WeightsError) {
        guard case .array(let entry)? = fields.value(component), entry.count == 2,
            entry[1] != .null
        else {
            throw fields.error(component, expected: "the component's library and class")
        }
    }
}

extension ModelFamily {
    /// What the folders of its text encoders and tokenizers end in, in order.
    var textEncoderSuffixes: [String] {
        switch self {
        case .stableDiffusion: [""]
        case .stableDiffusionXL: ["", "_2"]
        }
    }

    fileprivate var components: [String] {
        ["unet", "vae", "scheduler"]
            + textEncoderSuffixes.flatMap { ["text_encoder\($0)", "tokenizer\($0)"] }
    }
}
