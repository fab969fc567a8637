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
        let (step, group) = stepOfTrial
        let view = ViewInput(
            sample: noise(side: side, seed: seed),
            microConditioning: MicroConditioning(
                timeIDs: [pixels, pixels, 0, 0, pixels, pixels]))
        let tile = min(8, side)
        // Once with every text: a worker may be asked with any of them first.
        var questions: [WorkItem] = (0..<plan.promptCount).map { prompt in
            .denoise(
                DenoiseTask(
                    index: 0, step: step.number, timestep: step.timestep.value,
                    guidanceScale: group.guidanceScale,
                    guidanceRescale: step.guidanceRescale,
                    conditioning: prompt,
                    bandSplit: group.bandSplit.map {
                        BandSplit(
                            highScale: $0.highScale, low: Extent(height: side / 2, width: side / 2))
                    },
                    views: [view]))
        }
        questions.append(.decode(DecodeTask(index: 0, tile: noise(side: tile, seed: ~seed))))
        if plan.encodes {
            let side = tile * model.scaleFactor
            let noise = noise(channels: 3, side: side, seed: seed)
                .mapValues { min(max($0 / 4 + 0.5, 0), 1) }
            let pixels = RGBImage(height: side, width: side, values: noise.values)
            questions.append(.encode(EncodeTask(index: 0, pixels: pixels)))
        }
        return questions
    }

    /// A step in the middle, or, where there is guidance in bands, the first with such: who does not
    /// know it answers something else.
    private var stepOfTrial: (StepPlan, GroupPlan) {
        for number in plan.phases.indices {
            for stage in plan.phases[number].stages {
                guard let place = stage.groups.firstIndex(where: { $0.bandSplit != nil })
                else { continue }
                let step = plan.steps(ofPhase: number).lowerBound + stage.steps.lowerBound
                return (plan.step(at: step), plan.step(at: step).groups[place])
            }
        }
        let step = plan.step(at: plan.stepCount / 2)
        return (step, step.groups[0])
    }

    private func noise(channels: Int? = nil, side: Int, seed: UInt64) -> Latent {
        InitialNoise.native.latent(
            channels: channels ?? plan.request.model.channels, height: side, width: side,
            seed: seed)
    }
}
