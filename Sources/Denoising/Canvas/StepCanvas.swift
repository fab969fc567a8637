internal import ImageFilters
internal import Sampling
internal import Tensors

/// What happens on the canvas in a phase's steps besides the views, and behind the last one.
struct StepCanvas {
    let plan: DenoisingPlan
    /// The phase.
    let phase: Int

    private var planned: PlanPhase { plan.phases[phase] }

    /// The canvas that a step's views are cut out of.
    func begun(_ canvas: Latent, _ step: StepPlan, kept: [KeptCanvas]) -> Latent {
        step.before.reduce(canvas) { canvas, operation in
            guard case .mixAnchor(let name, let weight) = operation else {
                preconditionFailure("no step begins with \(operation)")
            }
            return mixed(
                canvas, with: kept.named(name), by: Float(weight.value(at: step.place)),
                at: step.position)
        }
    }

    /// The canvas that the phase leaves.
    func ended(_ canvas: Latent, kept: [KeptCanvas]) -> Latent {
        planned.exit.reduce(canvas) { canvas, operation in
            guard case .restoreMoments(let name) = operation else {
                preconditionFailure("no phase ends with \(operation)")
            }
            let anchor = kept.named(name)
            return canvas.brought(
                from: Moments(of: canvas, within: planned.latent),
                to: Moments(of: anchor, within: anchor.extent))
        }
    }

    /// The prediction that the scheduler takes instead of `prediction`.
    func changed(
        _ prediction: Latent, by operation: PredictionOperation, of state: DenoisingState,
        at step: StepPlan
    ) -> Latent {
        let (schedule, position, sample) = (planned.schedule, step.position, state.canvas)
        var clean: Latent
        switch operation {
        case .holdLow(let name, let weight):
            clean = schedule.clean(prediction: prediction, sample: sample, at: position)
            let low = state.kept.named(name)
            let factor = Float(weight.value(at: step.place))
            let own = clean.resampled(to: low.extent)
            let change = low.combined(with: own, -).resampled(to: clean.extent)
            clean = clean.combined(with: change) { $0 + factor * $1 }
        case .swapBand(let name):
            clean = schedule.clean(prediction: prediction, sample: sample, at: position)
            var bands = HaarBands(splitting: clean)
            bands.low = state.kept.named(name)
            clean = bands.merged(height: clean.height, width: clean.width)
        case .injectNoise(let share):
            let noise = schedule.noise(prediction: prediction, sample: sample, at: position)
            let injection = NoiseInjection(
                share: share, seed: plan.request.seed, step: step.number, extent: planned.latent)
            clean = schedule.clean(
                under: injection.applied(to: noise), sample: sample, at: position)
        }
        return schedule.prediction(meaning: clean, sample: sample, at: position)
    }

    /// See ``CanvasOperation/mixAnchor(_:weight:)``; channel by channel, so that little is held
    /// besides.
    private func mixed(
        _ canvas: Latent, with anchor: Latent, by weight: Float, at position: Int
    ) -> Latent {
        let (latent, extent) = (planned.latent, canvas.extent)
        var canvas = canvas
        for channel in 0..<canvas.channels {
            let clean = anchor.channel(channel).enlarged(to: latent)
            let noise = AddedNoise.latent(
                channels: channel..<channel + 1, height: latent.height, width: latent.width,
                seed: plan.request.seed, step: plan.steps(ofPhase: phase).lowerBound)
            let noised = planned.schedule.noised(clean, with: noise, at: position)
                .padded(to: extent)
            let first = channel * canvas.plane
            for index in 0..<canvas.plane {
                let here = canvas.values[first + index]
                canvas.values[first + index] = here + weight * (noised.values[index] - here)
            }
        }
        return canvas
    }
}

extension PlannedSource {
    /// What views are gathered from.
    func made(of canvas: Latent) -> Latent {
        switch self {
        case .canvas: return canvas
        case .blurred(let kernelSize, let sigma):
            let blurred = GaussianBlur(kernelSize: kernelSize, sigma: sigma)(canvas)
            let extent = canvas.extent
            return blurred.brought(
                from: Moments(of: blurred, within: extent),
                to: Moments(of: canvas, within: extent))
        }
    }
}

extension [KeptCanvas] {
    /// The one that a plan names.
    func named(_ name: String) -> Latent {
        guard let kept = first(where: { $0.name == name }) else {
            preconditionFailure("a plan uses what it keeps")
        }
        return kept.latent
    }
}

extension Latent {
    /// By bicubic interpolation.
    func enlarged(to extent: Extent) -> Latent {
        resampled(height: extent.height, width: extent.width, filter: .bicubic)
    }

    /// One channel alone.
    func channel(_ channel: Int) -> Latent {
        Latent(
            channels: 1, height: height, width: width,
            values: Array(values[channel * plane..<(channel + 1) * plane]))
    }
}
