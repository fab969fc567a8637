internal import ImageFilters
internal import Sampling
package import Tensors

/// Makes a phase's canvas out of what the phase before it leaves, or out of a picture.
struct CanvasEntry {
    let plan: DenoisingPlan
    /// The phase that is entered.
    let phase: Int
    /// Opens the picture that the plan starts from; nil without one.
    let openPicture: OpenPicture?

    private var planned: PlanPhase { plan.phases[phase] }

    /// The state before the phase's first step. `onTile` hears of every tile that is decoded or
    /// encoded on the way. Throws what the executor and the picture throw and ``DenoisingError``.
    func state(
        after previous: DenoisingState, with executor: some TaskExecutor,
        conditionings: [Conditioning], onTile: (_ done: Int, _ count: Int) async throws -> Void
    ) async throws -> DenoisingState {
        var latent = previous.canvas.cropped(to: plan.extentBefore(phase: phase))
        let noise = phase == 0 ? latent : nil
        var kept: [KeptCanvas] = []
        for operation in planned.entry {
            switch operation {
            case .encode(let source, let size):
                let encoding = PictureEncoding(
                    of: source, size: size, to: plan.tiles(ofPhase: phase))
                latent = try await encoded(encoding, executor, conditionings, onTile: onTile)
            case .redraw(_, let filter, let sharpening):
                let redrawing = Redrawing(
                    from: plan.phases[phase - 1].latent, to: planned.latent,
                    model: plan.request.model, filter: filter, sharpening: sharpening)
                latent = try await redrawing.redraw(
                    latent, with: executor, conditionings: conditionings, onTile: onTile)
            case .boost(let factor, let low):
                let coarse = latent.lowPassed(to: low)
                latent = coarse.combined(with: latent) { $0 + Float(factor) * ($1 - $0) }
            case .resample(let extent): latent = latent.enlarged(to: extent)
            case .keep(let name, let low):
                let whole =
                    latent.extent == planned.latent
                    ? latent.padded(to: planned.canvas) : latent
                kept.append(KeptCanvas(name: name, latent: whole.resampled(to: low)))
            case .keepBand(let name, _):
                let bands = HaarBands(splitting: latent.padded(to: planned.canvas))
                kept.append(KeptCanvas(name: name, latent: bands.low))
            case .takeLow(let name, let low):
                let other = kept.named(name).enlarged(to: latent.extent)
                kept.removeAll { $0.name == name }
                let change = other.combined(with: latent, -).lowPassed(to: low)
                latent = latent.combined(with: change, +)
            case .renoise:
                latent = planned.schedule.noised(latent, with: noise ?? drawn(like: latent), at: 0)
            case .mixAnchor, .restoreMoments:
                preconditionFailure("no phase begins with \(operation)")
            }
        }
        return DenoisingState(
            phase: phase, canvas: latent.padded(to: planned.canvas), kept: kept,
            nextStep: previous.nextStep)
    }

    private func drawn(like latent: Latent) -> Latent {
        AddedNoise.latent(
            channels: 0..<latent.channels, height: latent.height, width: latent.width,
            seed: plan.request.seed, step: plan.steps(ofPhase: phase).lowerBound)
    }

    private func encoded(
        _ encoding: PictureEncoding, _ executor: some TaskExecutor, _ conditionings: [Conditioning],
        onTile: (_ done: Int, _ count: Int) async throws -> Void
    ) async throws -> Latent {
        guard let openPicture else { throw DenoisingError.pictureMissing }
        var bands = try openPicture()
        var done = 0
        try await onTile(done, encoding.target.count)
        return try await encoding.encode(
            with: executor, conditionings: conditionings,
            onTile: {
                done += 1
                try await onTile(done, encoding.target.count)
            }, nextBand: { try bands.next() })
    }
}

extension Latent {
    var extent: Extent { Extent(height: height, width: width) }

    /// What is left when it is reduced and enlarged again.
    func lowPassed(to low: Extent) -> Latent {
        resampled(to: low).resampled(to: extent)
    }

    /// Linear between cells where it grows, over all cells that fall on one where it shrinks.
    func resampled(to extent: Extent) -> Latent {
        resampled(height: extent.height, width: extent.width, filter: .antialiasedBilinear)
    }

    /// Its top left corner.
    package func cropped(to extent: Extent) -> Latent {
        guard extent != self.extent else { return self }
        let window = Window(y: 0, x: 0, height: extent.height, width: extent.width)
        return LatentView.window(window).gather(from: self)
    }

    /// A canvas that begins again from the opposite side where it is larger, so that anyone who
    /// has the latent has the canvas.
    func padded(to extent: Extent) -> Latent {
        guard extent != self.extent else { return self }
        var canvas = Latent(zeros: channels, height: extent.height, width: extent.width)
        for channel in 0..<channels {
            for y in 0..<extent.height {
                let source = (channel * height + y % height) * width
                let target = (channel * extent.height + y) * extent.width
                for x in 0..<extent.width {
                    canvas.values[target + x] = values[source + x % width]
                }
            }
        }
        return canvas
    }
}
