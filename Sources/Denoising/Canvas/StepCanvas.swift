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

    /// Makes of the merged prediction what the scheduler takes.
    func change(
        _ prediction: inout Latent, by operation: PredictionOperation, of state: DenoisingState,
        at step: StepPlan
    ) {
        switch operation {
        case .holdLow(let name, let weight):
            let low = state.kept.named(name)
            let factor = Float(weight.value(at: step.place))
            changeClean(&prediction, of: state.canvas, at: step.position) { clean, channel in
                let own = clean.resampled(to: low.extent)
                let change = low.channel(channel).combined(with: own, -)
                    .resampled(to: clean.extent)
                return clean.combined(with: change) { $0 + factor * $1 }
            }
        case .swapBand(let name):
            let low = state.kept.named(name)
            changeClean(&prediction, of: state.canvas, at: step.position) { clean, channel in
                var bands = HaarBands(splitting: clean)
                bands.low = low.channel(channel)
                return bands.merged(height: clean.height, width: clean.width)
            }
        case .injectNoise(let share):
            let (schedule, position) = (planned.schedule, step.position)
            let injection = NoiseInjection(
                share: share, seed: plan.request.seed, step: step.number, extent: planned.latent)
            let noise = schedule.noise(
                prediction: prediction, sample: state.canvas, at: position)
            let clean = schedule.clean(
                under: injection.applied(to: noise), sample: state.canvas, at: position)
            prediction = schedule.prediction(
                meaning: clean, sample: state.canvas, at: position)
        }
    }

    /// Changes what a prediction takes for the clean latent, channel by channel, so that little is
    /// held besides.
    private func changeClean(
        _ prediction: inout Latent, of sample: Latent, at position: Int,
        _ change: (_ clean: Latent, _ channel: Int) -> Latent
    ) {
        let schedule = planned.schedule
        for channel in 0..<sample.channels {
            let (own, state) = (prediction.channel(channel), sample.channel(channel))
            let clean = schedule.clean(prediction: own, sample: state, at: position)
            let changed = schedule.prediction(
                meaning: change(clean, channel), sample: state, at: position)
            let first = channel * sample.plane
            prediction.values.replaceSubrange(first..<first + sample.plane, with: changed.values)
        }
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
