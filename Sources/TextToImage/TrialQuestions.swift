package import Denoising
internal import Sampling
internal import Tensors

extension PicturePlan {
    /// Questions small enough to be answered in a moment that use every weight of the network and
    /// of the decoder: whoever answers them to the bit as this process does computes what it
    /// does. The numbers are drawn from `seed`; a fresh one keeps answers from being known ahead.
    package func trialQuestions(seed: UInt64) -> [WorkItem] {
        let model = plan.request.model
        // Large enough to pass every downsampling with something left to look at.
        let side = min(model.nativeSide, max(16, 2 * model.sizeMultiple))
        let pixels = model.nativeSide * model.scaleFactor
        let step = plan.step(at: plan.stepCount / 2)
        let view = ViewInput(
            sample: noise(side: side, seed: seed),
            microConditioning: MicroConditioning(
                timeIDs: [pixels, pixels, 0, 0, pixels, pixels]))
        return [
            .denoise(
                DenoiseTask(
                    index: 0, step: step.index.value, timestep: step.timestep.value,
                    guidanceScale: step.guidanceScale, guidanceRescale: step.guidanceRescale,
                    views: [view])),
            .decode(DecodeTask(index: 0, tile: noise(side: min(8, side), seed: ~seed))),
        ]
    }

    private func noise(side: Int, seed: UInt64) -> Latent {
        InitialNoise.native.latent(
            channels: plan.request.model.channels, height: side, width: side, seed: seed)
    }
}
