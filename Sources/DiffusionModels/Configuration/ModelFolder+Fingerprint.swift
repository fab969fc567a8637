package import Tensors

extension ModelFolder {
    /// Digest of everything in the folder that decides what the model computes: all weights, the
    /// configuration values the weights' shapes do not imply, and the tokenizers. The scheduler
    /// is left out: a plan lists its own timesteps and noise levels.
    ///
    /// Reads all weights the first time (each store keeps its own digest). Throws
    /// ``WeightsError`` when a tokenizer cannot be read or does not
    /// fit its text encoder.
    package func fingerprint() throws(WeightsError) -> Fingerprint {
        try fingerprint(ofAutoencoder: true)
    }

    /// Digest of what decides the latents: ``fingerprint()`` without the autoencoder.
    package func latentFingerprint() throws(WeightsError) -> Fingerprint {
        try fingerprint(ofAutoencoder: false)
    }

    private func fingerprint(
        ofAutoencoder hasAutoencoder: Bool
    ) throws(WeightsError) -> Fingerprint {
        var hash = Fingerprinter()
        hash.add(family.rawValue)
        unet.add(to: &hash)
        if hasAutoencoder { vae.add(to: &hash) }
        hash.add(forcesZerosForEmptyPrompt ? 1 : 0)
        let stores = [unetWeights] + (hasAutoencoder ? [vaeWeights] : [])
        for store in stores + textEncoders.map(\.weights) {
            hash.add(store.fingerprint.value)
        }
        for encoder in textEncoders {
            encoder.configuration.add(to: &hash)
            for name in BPETokenizer.vocabularyFiles(in: encoder.tokenizerFolder) {
                let bytes = try readFile(
                    "\(encoder.tokenizerFolder)/\(name)", limit: BPETokenizer.maximumFileBytes,
                    adviceWhenMissing: "complete the model folder")
                hash.add(bytes.count)
                hash.add(UInt64(CRC32C.of(bytes)))
            }
            try encoder.tokenizer().addSpecials(to: &hash)
        }
        return hash.fingerprint
    }
}

extension UNetConfiguration {
    fileprivate func add(to hash: inout Fingerprinter) {
        for list in [attentionHeads, transformerLayers, layersPerBlock] {
            hash.add(list.count)
            for value in list { hash.add(value) }
        }
        hash.add(sampleSize)
        hash.add(normGroups)
        hash.add(normEpsilon)
        hash.add(flipSineToCosine ? 1 : 0)
        hash.add(frequencyShift)
        hash.add(addedConditioning?.timeEmbeddingWidth ?? 0)
    }
}

extension VAEConfiguration {
    fileprivate func add(to hash: inout Fingerprinter) {
        hash.add(normGroups)
        hash.add(scalingFactor)
        hash.add(shiftFactor)
        hash.add(sampleSize)
    }
}

extension CLIPTextConfiguration {
    fileprivate func add(to hash: inout Fingerprinter) {
        hash.add(heads)
        hash.add(activation.rawValue)
        hash.add(normEpsilon)
        hash.add(endTokenID)
    }
}
