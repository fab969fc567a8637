package import ComputeBackends
internal import Tensors

/// The network that says what noise is in a picture: diffusers' `UNet2DConditionModel`
/// (Ronneberger et al. 2015, arXiv 1505.04597; Podell et al. 2023, arXiv 2307.01952).
package struct UNet: Sendable {
    /// What the network was built from.
    package let configuration: UNetConfiguration

    private let embedding: UNetEmbedding
    private let convolutionIn: ConvolutionWeights
    private let downBlocks: [UNetBlock]
    private let midBlock: UNetBlock
    private let upBlocks: [UNetBlock]
    private let normOut: NormWeights
    private let convolutionOut: ConvolutionWeights

    /// Loads the network. Throws ``WeightsError`` naming what is missing or has another shape.
    package init(
        configuration: UNetConfiguration,
        weights: WeightStore,
        backend: any ComputeBackend
    ) throws(WeightsError) {
        let loader = LayerLoader(store: weights, backend: backend)
        let channels = configuration.blockOutChannels[0]
        self.configuration = configuration
        embedding = try UNetEmbedding(loader, configuration)
        convolutionIn = try loader.convolution(
            "conv_in", configuration.inChannels, channels, size: 3)
        var firstText = 0
        func block(
            _ layout: UNetBlockLayout,
            _ role: UNetBlock.Role
        ) throws(WeightsError) -> UNetBlock {
            try UNetBlock(
                loader, layout, role, configuration: configuration, firstText: &firstText)
        }
        downBlocks = try Array(loading: configuration.downBlocks) {
            (_, layout) throws(WeightsError) in try block(layout, .down)
        }
        midBlock = try block(configuration.midBlock, .middle)
        upBlocks = try Array(loading: configuration.upBlocks) {
            (_, layout) throws(WeightsError) in try block(layout, .up)
        }
        normOut = try loader.norm("conv_norm_out", channels)
        convolutionOut = try loader.convolution(
            "conv_out", channels, configuration.outChannels, size: 3)
    }

    /// Texts as the network looks at them: keys and values for every transformer block. They do
    /// not change from step to step, so they are made once.
    package struct Texts: Sendable {
        fileprivate let entries: [KeysAndValues]
        fileprivate let pooled: [[Float]]

        /// Some consecutive texts.
        package func items(_ range: Range<Int>) -> Texts {
            Texts(entries: entries.map { $0.items(range) }, pooled: Array(pooled[range]))
        }
    }

    /// Prepares texts: `hiddenStates` (texts, tokens, ``UNetConfiguration/crossAttentionWidth``),
    /// `pooled` one vector per text, empty for models without `text_time` conditioning.
    package func texts(
        hiddenStates: DeviceTensor,
        pooled: [[Float]],
        on backend: any ComputeBackend
    ) -> Texts {
        let blocks = downBlocks + [midBlock] + upBlocks
        return Texts(
            entries: blocks.flatMap { $0.project(hiddenStates, on: backend) }, pooled: pooled)
    }

    /// Predicts for every item of `sample`, (items, height, width, in) to (items, height, width,
    /// out); any height and width.
    ///
    /// The number of texts divides the items: the first text serves the first items, and so on.
    /// `timeIDs` has the six micro-conditioning numbers of every item; models without
    /// `text_time` conditioning ignore them. An item's answer does not depend on the others.
    package func predict(
        sample: DeviceTensor,
        timestep: Double,
        texts: Texts,
        timeIDs: [[Int]],
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        precondition(
            timeIDs.count == sample.items && sample.items % texts.pooled.count == 0,
            "\(sample.items) items, \(timeIDs.count) time ids, \(texts.pooled.count) texts")
        let served = sample.items / texts.pooled.count
        let surroundings = UNetSurroundings(
            embedding: embedding.apply(
                timestep: timestep,
                pooled: texts.pooled.flatMap { Array(repeating: $0, count: served) },
                timeIDs: timeIDs, on: backend),
            text: texts.entries, backend: backend)
        var hidden = backend.convolution(sample, convolutionIn, padding: Padding(1))
        var skips = [hidden]
        for block in downBlocks {
            hidden = block.applyDown(hidden, surroundings, skips: &skips)
        }
        hidden = midBlock.applyMiddle(hidden, surroundings)
        for block in upBlocks {
            hidden = block.applyUp(hidden, surroundings, skips: &skips)
        }
        hidden = backend.groupNorm(
            hidden, normOut, groups: configuration.normGroups,
            epsilon: configuration.normEpsilon, silu: true)
        return backend.convolution(hidden, convolutionOut, padding: Padding(1))
    }

    /// Roughly the most memory that a prediction for `positions` latent pixels (items × height ×
    /// width) takes beside the weights, in bytes: skips and what is in hand at the finest level.
    package func workingBytes(positions: Int) -> Double {
        let finest = Double(configuration.layersPerBlock[0] + 6)
        return finest * 1.5 * Double(configuration.blockOutChannels[0] * positions) * 4
    }
}
