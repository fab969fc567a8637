package import Tensors

/// What the text encoders say about one prompt.
package struct PromptEmbedding: Equatable, Sendable {
    /// Hidden states, (tokens, width): (77, 2048) for SDXL, (77, 768) for SD 1.5.
    package let hiddenStates: Tensor

    /// The pooled projection, (width): (1280) for SDXL; nil for models without one.
    package let pooled: Tensor?

    package init(hiddenStates: Tensor, pooled: Tensor?) {
        precondition(hiddenStates.shape.rank == 2, "hidden states are (tokens, width)")
        self.hiddenStates = hiddenStates
        self.pooled = pooled
    }
}

/// The text conditioning of one picture: it travels once per job and worker, named by content.
package struct Conditioning: Equatable, Sendable {
    package let prompt: PromptEmbedding

    /// The negative prompt's embedding, or zeros where the model forces zeros for none.
    package let negative: PromptEmbedding

    /// Digest of everything above.
    package let fingerprint: Fingerprint

    package init(prompt: PromptEmbedding, negative: PromptEmbedding) {
        self.prompt = prompt
        self.negative = negative
        var hash = Fingerprinter()
        for embedding in [prompt, negative] {
            for extent in embedding.hiddenStates.shape.extents { hash.add(extent) }
            hash.add(embedding.hiddenStates.elements)
            hash.add(embedding.pooled?.elements ?? [])
        }
        self.fingerprint = hash.fingerprint
    }

    /// No infinity and no NaN in it, as a text encoder with damaged weights gives.
    package var isFinite: Bool {
        [prompt, negative].allSatisfy { embedding in
            embedding.hiddenStates.elements.allSatisfy(\.isFinite)
                && embedding.pooled?.elements.allSatisfy(\.isFinite) ?? true
        }
    }
}

/// SDXL's size and crop inputs, in pixels ("SDXL", arXiv 2307.01952, section 2.2).
package struct MicroConditioning: Hashable, Sendable {
    package var originalHeight: Int
    package var originalWidth: Int
    package var cropTop: Int
    package var cropLeft: Int
    package var targetHeight: Int
    package var targetWidth: Int

    package init(
        originalHeight: Int,
        originalWidth: Int,
        cropTop: Int,
        cropLeft: Int,
        targetHeight: Int,
        targetWidth: Int
    ) {
        self.originalHeight = originalHeight
        self.originalWidth = originalWidth
        self.cropTop = cropTop
        self.cropLeft = cropLeft
        self.targetHeight = targetHeight
        self.targetWidth = targetWidth
    }

    /// In the order the network takes them: original h, w, crop top, left, target h, w.
    package var timeIDs: [Int] {
        [originalHeight, originalWidth, cropTop, cropLeft, targetHeight, targetWidth]
    }

    /// From what ``timeIDs`` gives; traps unless there are six.
    package init(timeIDs: [Int]) {
        precondition(timeIDs.count == 6, "micro-conditioning has six numbers")
        self.init(
            originalHeight: timeIDs[0], originalWidth: timeIDs[1],
            cropTop: timeIDs[2], cropLeft: timeIDs[3],
            targetHeight: timeIDs[4], targetWidth: timeIDs[5]
        )
    }
}
