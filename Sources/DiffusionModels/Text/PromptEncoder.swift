package import ComputeBackends
package import Denoising
internal import Tensors

/// Turns prompts into conditioning as diffusers' SDXL and Stable Diffusion pipelines do.
package struct PromptEncoder: Sendable {
    /// A prompt that was longer than the encoders take.
    package struct Truncation: Equatable, Sendable, CustomStringConvertible {
        /// `prompt` or `negative prompt`.
        package let prompt: String
        /// The end that was cut off.
        package let cut: String
        /// Tokens a prompt may have, the two marks included.
        package let limit: Int

        /// `the prompt is longer than 77 tokens; left out: "…"`
        package var description: String {
            "the \(prompt) is longer than \(limit) tokens; left out: \"\(cut)\""
        }
    }

    /// The conditioning, and what had no room in it.
    package struct Result: Sendable {
        /// For the denoising loop.
        package let conditioning: Conditioning
        /// One per prompt that was cut; empty when all fitted.
        package let truncations: [Truncation]
    }

    private let family: ModelFamily
    private let forcesZeros: Bool
    private let encoders: [CLIPTextEncoder]
    private let tokenizers: [BPETokenizer]

    /// Loads the text encoders and tokenizers of a model. Throws ``WeightsError``.
    package init(model: ModelFolder, backend: any ComputeBackend) throws(WeightsError) {
        family = model.family
        forcesZeros = model.forcesZerosForEmptyPrompt
        var encoders: [CLIPTextEncoder] = []
        var tokenizers: [BPETokenizer] = []
        for files in model.textEncoders {
            tokenizers.append(try files.tokenizer())
            encoders.append(
                try CLIPTextEncoder(
                    configuration: files.configuration, weights: files.weights, backend: backend))
        }
        self.encoders = encoders
        self.tokenizers = tokenizers
    }

    /// Encodes a prompt and what it shall not be. Without a negative prompt, a model that forces
    /// zeros gets zeros, another the embedding of the empty text, which `""` always gives.
    ///
    /// Blocks the calling thread while the text encoders run.
    package func encode(prompt: String, negativePrompt: String? = nil) -> Result {
        let (conditionings, truncations) = encode(
            prompt: prompt, regions: [], negativePrompt: negativePrompt)
        return Result(conditioning: conditionings[0], truncations: truncations)
    }

    /// Likewise a prompt and what regions of the picture show: the prompt's conditioning, then each
    /// region's. None of them shall be what the negative prompt says.
    ///
    /// Blocks the calling thread while the text encoders run.
    package func encode(
        prompt: String, regions: [String], negativePrompt: String?
    ) -> (conditionings: [Conditioning], truncations: [Truncation]) {
        let texts =
            [embedding(of: prompt, called: "prompt")]
            + regions.enumerated().map { number, text in
                embedding(of: text, called: "text of region \(number + 1)")
            }
        var truncations = texts.flatMap(\.1)
        let positive = texts[0].0
        var negative = Self.zeros(like: positive)
        if negativePrompt != nil || !forcesZeros {
            let (embedding, cut) = embedding(of: negativePrompt ?? "", called: "negative prompt")
            negative = embedding
            truncations += cut
        }
        return (
            texts.map { Conditioning(prompt: $0.0, negative: negative) }, truncations
        )
    }

    private func embedding(
        of text: String, called name: String
    ) -> (PromptEmbedding, [Truncation]) {
        var truncation: Truncation?
        var outputs: [CLIPTextEncoder.Output] = []
        for (tokenizer, encoder) in zip(tokenizers, encoders) {
            let limit = encoder.configuration.positions
            let tokens = tokenizer.tokenize(tokenizer.expanded(text), length: limit)
            if let cut = tokens.cut, truncation == nil {
                truncation = Truncation(prompt: name, cut: cut, limit: limit)
            }
            outputs.append(encoder.encode(tokens.ids))
        }
        let embedding =
            switch family {
            case .stableDiffusion:
                PromptEmbedding(
                    hiddenStates: Self.joined(outputs.map(\.last)), pooled: nil)
            case .stableDiffusionXL:
                PromptEmbedding(
                    hiddenStates: Self.joined(outputs.map(\.penultimate)),
                    pooled: outputs.last?.pooled.map {
                        Tensor(shape: Shape($0.channels), elements: $0.elements)
                    })
            }
        return (embedding, truncation.map { [$0] } ?? [])
    }

    /// Hidden states (1, tokens, width) of several encoders side by side: (tokens, sum of widths).
    private static func joined(_ states: [DeviceTensor]) -> Tensor {
        let rows = states[0].positions
        let width = states.map(\.channels).reduce(0, +)
        let parts = states.map { (elements: $0.elements, width: $0.channels) }
        var elements: [Float] = []
        elements.reserveCapacity(rows * width)
        for row in 0..<rows {
            for part in parts {
                elements += part.elements[(row * part.width)..<((row + 1) * part.width)]
            }
        }
        return Tensor(shape: Shape(rows, width), elements: elements)
    }

    private static func zeros(like embedding: PromptEmbedding) -> PromptEmbedding {
        PromptEmbedding(
            hiddenStates: Tensor(zeros: embedding.hiddenStates.shape),
            pooled: embedding.pooled.map { Tensor(zeros: $0.shape) })
    }
}
