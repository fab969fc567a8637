package import ComputeBackends
internal import Tensors

/// The network that says what noise is in a picture: diffusers' `UNet2DConditionModel`
/// (Ronneberger et al. 2015, arXiv 1505.04597; Podell et al. 2023, arXiv 2307.01952).
package struct UNet: Sendable {
    /// What the network was built from.
    package let configuration: UNetConfiguration

    let embedding: UNetEmbedding
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
        backend: any ComputeBackend,
        preparation: Preparation
    ) throws(WeightsError) {
        let loader = LayerLoader(
            store: weights, backend: backend, preparation: preparation)
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
        /// Of all texts that were prepared together.
        let entries: [KeysAndValues]
        let pooled: [[Float]]
        /// Which of them these are.
        let range: Range<Int>

        /// How many.
        package var count: Int { range.count }
        /// Tokens of each; 0 where nothing looks at texts.
        package var tokens: Int { entries.isEmpty ? 0 : entries[0].keys.shape[1] }

        /// Some consecutive texts; shares the memory.
        package func items(_ range: Range<Int>) -> Texts {
            precondition(range.lowerBound >= 0 && range.upperBound <= count, "no such texts")
            let first = self.range.lowerBound
            return Texts(
                entries: entries, pooled: pooled,
                range: (first + range.lowerBound)..<(first + range.upperBound))
        }

        /// The pooled vector that one of `items` is given; the texts divide them.
        func pooled(item: Int, of items: Int) -> [Float] {
            pooled[range.lowerBound + item / (items / count)]
        }
    }

    /// Prepares texts: `hiddenStates` (texts, tokens, ``UNetConfiguration/crossAttentionWidth``),
    /// `pooled` one vector per text, empty for models without `text_time` conditioning.
    package func texts(
        hiddenStates: DeviceTensor,
        pooled: [[Float]],
        on backend: any ComputeBackend
    ) -> Texts {
        precondition(hiddenStates.items == pooled.count, "a pooled vector per text wanted")
        let blocks = downBlocks + [midBlock] + upBlocks
        return Texts(
            entries: blocks.flatMap { $0.project(hiddenStates, on: backend) }, pooled: pooled,
            range: 0..<pooled.count)
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
        let items = sample.items
        precondition(
            timeIDs.count == items && items % texts.count == 0,
            "\(items) items, \(timeIDs.count) time ids, \(texts.count) texts")
        let shapes = embedding.inputShapes(items: items)
        let time = unsafe DeviceTensor(shape: shapes.time) {
            unsafe embedding.fillTime($0, timestep: timestep)
        }
        let added = shapes.added.map { shape in
            unsafe DeviceTensor(shape: shape) { buffer in
                unsafe embedding.fillAdded(
                    buffer, pooled: { texts.pooled(item: $0, of: items) }, timeIDs: timeIDs)
            }
        }
        return apply(
            sample, UNetEmbedding.Inputs(time: time, added: added),
            text: texts.entries.map { $0.items(texts.range) }, on: backend)
    }

    /// The network itself: as ``predict(sample:timestep:texts:timeIDs:on:)``, which prepares its
    /// inputs; `text` has an entry per transformer block.
    func apply(
        _ sample: DeviceTensor,
        _ inputs: UNetEmbedding.Inputs,
        text: [KeysAndValues],
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let surroundings = UNetSurroundings(
            embedding: embedding.apply(inputs, on: backend), text: text, backend: backend)
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

    /// Channels of the keys and of the values that each transformer block makes of a text, in
    /// the order of ``Texts/entries``.
    var textChannels: [Int] { (downBlocks + [midBlock] + upBlocks).flatMap(\.textChannels) }

    /// Roughly the most memory that a prediction for `positions` latent pixels (items × height ×
    /// width) takes beside the weights, in bytes: skips and what is in hand at the finest level.
    package func workingBytes(positions: Int) -> Double {
        let finest = Double(configuration.layersPerBlock[0] + 6)
        return finest * 1.5 * Double(configuration.blockOutChannels[0] * positions) * 4
    }
}
