internal import ComputeBackends
internal import Tensors

/// What all blocks of a UNet see besides the picture.
struct UNetSurroundings {
    /// SiLU of the timestep embedding, (items, 1, width).
    let embedding: DeviceTensor
    /// The text as every transformer block looks at it, in the order of the forward pass.
    let text: [KeysAndValues]
    let backend: any ComputeBackend
}

/// Residual blocks, each followed by attention where the block has any: the common part of
/// diffusers' `(CrossAttn)DownBlock2D`, `(CrossAttn)UpBlock2D` and `UNetMidBlock2DCrossAttn`.
struct UNetBlock: Sendable {
    private let residuals: [ResidualBlock]
    private let transformers: [SpatialTransformer]
    private let downsampler: Downsampler?
    private let upsampler: Upsampler?
    /// Where this block's entries of the text begin.
    private let firstText: Int

    enum Role { case down, middle, up }

    /// `firstText` moves on by the block's transformer blocks.
    init(
        _ loader: LayerLoader,
        _ layout: UNetBlockLayout,
        _ role: Role,
        configuration: UNetConfiguration,
        firstText: inout Int
    ) throws(WeightsError) {
        let name = layout.name
        residuals = try Array(loading: layout.residuals) { (index, residual) throws(WeightsError) in
            try ResidualBlock(
                loader, "\(name).resnets.\(index)", residual,
                embedding: configuration.timeEmbeddingWidth,
                groups: configuration.normGroups, epsilon: configuration.normEpsilon)
        }
        // The middle has no attention after its last residual block.
        let attended = role == .middle ? layout.residuals.dropLast() : layout.residuals[...]
        if let attention = layout.attention {
            transformers = try Array(loading: attended) { (index, residual) throws(WeightsError) in
                try SpatialTransformer(
                    loader, "\(name).attentions.\(index)", channels: residual.output,
                    layout: attention, configuration: configuration)
            }
        } else {
            transformers = []
        }
        let channels = layout.channels
        downsampler =
            layout.resamples && role == .down
            ? try Downsampler(loader, "\(name).downsamplers.0", channels: channels) : nil
        upsampler =
            layout.resamples && role == .up
            ? try Upsampler(loader, "\(name).upsamplers.0", channels: channels) : nil
        self.firstText = firstText
        firstText += transformers.reduce(0) { $0 + $1.depth }
    }

    /// Channels of the keys and of the values that each transformer block makes of the text.
    var textChannels: [Int] { transformers.flatMap(\.textChannels) }

    /// The text as each of the block's transformer blocks looks at it.
    func project(_ text: DeviceTensor, on backend: any ComputeBackend) -> [KeysAndValues] {
        transformers.flatMap { $0.project(text, on: backend) }
    }

    /// Down: appends what the up blocks will want to `skips`.
    func applyDown(
        _ x: DeviceTensor,
        _ surroundings: UNetSurroundings,
        skips: inout [DeviceTensor]
    ) -> DeviceTensor {
        var hidden = x
        for index in residuals.indices {
            hidden = apply(index, hidden, surroundings)
            skips.append(hidden)
        }
        if let downsampler {
            hidden = downsampler.apply(hidden, on: surroundings.backend)
            skips.append(hidden)
        }
        return hidden
    }

    func applyMiddle(_ x: DeviceTensor, _ surroundings: UNetSurroundings) -> DeviceTensor {
        residuals.indices.reduce(x) { hidden, index in apply(index, hidden, surroundings) }
    }

    /// Up: takes skips off the end of `skips`, and grows to the size of the next one, which is
    /// not always the double.
    func applyUp(
        _ x: DeviceTensor,
        _ surroundings: UNetSurroundings,
        skips: inout [DeviceTensor]
    ) -> DeviceTensor {
        var hidden = x
        for index in residuals.indices {
            let joined = surroundings.backend.concatenateChannels(hidden, skips.removeLast())
            hidden = apply(index, joined, surroundings)
        }
        guard let upsampler, let next = skips.last else { return hidden }
        return upsampler.apply(
            hidden, height: next.height, width: next.width, on: surroundings.backend)
    }

    private func apply(
        _ index: Int,
        _ x: DeviceTensor,
        _ surroundings: UNetSurroundings
    ) -> DeviceTensor {
        let backend = surroundings.backend
        let hidden = residuals[index].apply(
            x, embedding: surroundings.embedding, on: backend)
        guard index < transformers.count else { return hidden }
        let transformer = transformers[index]
        let first = transformers[..<index].reduce(firstText) { $0 + $1.depth }
        return transformer.apply(
            hidden, text: surroundings.text[first..<(first + transformer.depth)], on: backend)
    }
}
