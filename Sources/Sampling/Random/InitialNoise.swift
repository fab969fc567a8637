package import Tensors

/// Where the unit-variance noise of the initial latent comes from (`--rng`).
package enum InitialNoise: String, Codable, Hashable, Sendable, CaseIterable {
    /// Philox, keyed by channel, row and column: a larger canvas of the same seed continues a
    /// smaller one to the right and downwards.
    case native
    /// What `torch.Generator("cpu")` draws.
    case torchCPU = "torch-cpu"
    /// What `torch.Generator("cuda")` draws; see ``TorchCUDANoise`` for large latents.
    case torchCUDA = "torch-cuda"

    /// Unit-variance noise of the given extents, before the scheduler's initial sigma.
    package func latent(channels: Int, height: Int, width: Int, seed: UInt64) -> Latent {
        let count = channels * height * width
        let values: [Float]
        switch self {
        case .native:
            values = Self.native(channels: channels, height: height, width: width) {
                PhiloxGenerator(seed: seed, purpose: .initialNoise, step: $0, index: $1)
            }
        case .torchCPU:
            values = TorchCPUNoise(seed: seed).gaussians(count: count)
        case .torchCUDA:
            values = TorchCUDANoise(seed: seed).gaussians(count: count)
        }
        return Latent(channels: channels, height: height, width: width, values: values)
    }

    /// Row by row out of the stream of each channel and row.
    static func native(
        channels: Int, height: Int, width: Int,
        _ makeStream: (_ channel: Int, _ row: Int) -> PhiloxGenerator
    ) -> [Float] {
        var values: [Float] = []
        values.reserveCapacity(channels * height * width)
        for channel in 0..<channels {
            for row in 0..<height {
                var stream = makeStream(channel, row)
                for column in stride(from: 0, to: width, by: 2) {
                    let (even, odd) = stream.gaussianPair()
                    values.append(Float(even))
                    if column + 1 < width { values.append(Float(odd)) }
                }
            }
        }
        return values
    }
}

/// The noise that is added on the way, before a step.
package enum AddedNoise {
    /// Unit-variance noise of the given extents, keyed by seed, purpose, step, channel and row: of
    /// some consecutive channels.
    package static func latent(
        channels: Range<Int>, height: Int, width: Int, seed: UInt64, step: Int,
        purpose: RandomPurpose = .renoise
    ) -> Latent {
        let values = InitialNoise.native(
            channels: channels.count, height: height, width: width
        ) {
            PhiloxGenerator(
                seed: seed, purpose: purpose, step: step,
                index: (channels.lowerBound + $0) * height + $1)
        }
        return Latent(channels: channels.count, height: height, width: width, values: values)
    }
}
