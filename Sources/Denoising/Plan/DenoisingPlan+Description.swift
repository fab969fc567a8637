internal import ImageFilters
internal import Sampling

extension DenoisingPlan: CustomStringConvertible {
    /// What `tessera plan` prints: the request, one line per stage, the sum of the work.
    package var description: String {
        let request = request
        let schedule = phases[0].schedule
        var lines = [
            "\(method), \(picture) pixels, \(request.steps) steps of \(schedule.name) "
                + "(\(schedule.predictionType.rawValue)), seed \(request.seed)",
            "latent \(latent) × \(request.model.channels) channels, native window "
                + "\(request.window)",
        ]
        if let image = request.image {
            lines.append("starts from a picture of \(image.extent) pixels (\(image.digest))")
        }
        for (number, phase) in phases.enumerated() {
            if phases.count > 1 || phase.canvas != phase.latent || !phase.entry.isEmpty {
                lines.append("\(phase.name): " + phase.summary)
            }
            let first = steps(ofPhase: number).lowerBound
            lines += phase.stages.map {
                (phases.count > 1 ? "  " : "") + describe($0, from: first)
            }
        }
        let guided = groups.contains(where: \.isGuided)
        lines.append(
            "\(forwardCount) views in all"
                + (guided ? ", each evaluated with and without the prompt" : "")
                + (request.viewsPerTask > 1 ? "; \(request.viewsPerTask) views per task" : ""))
        lines.append("fingerprint \(fingerprint)")
        return lines.joined(separator: "\n")
    }

    private func describe(_ stage: PlanStage, from first: Int) -> String {
        let last = first + stage.steps.upperBound - 1
        let range =
            stage.steps.count == 1
            ? "step \(last)" : "steps \(first + stage.steps.lowerBound)–\(last)"
        let before = stage.before.map { "\($0), " }.joined()
        return "\(stage.name): \(range), " + before
            + stage.groups.map(\.summary).joined(separator: "; ")
            + stage.after.map { ", \($0)" }.joined()
    }
}

extension ViewGroup {
    /// Its views, and what is made of them.
    fileprivate var summary: String {
        let views: String
        switch geometry {
        case .windows(let grid) where viewCount == 1:
            views = "one view of \(grid.window)"
        case .windows(let grid):
            views =
                "\(viewCount) windows of \(grid.window), stride \(grid.stride)"
                + (grid.jitter > 0 ? ", jitter ±\(grid.jitter), \(grid.edge.rawValue)" : "")
        case .lattices(let grid, let mode):
            views =
                "\(grid.count) lattices of \(grid.patch), stride \(grid.rowStride)"
                + (grid.columnStride == grid.rowStride ? "" : " by \(grid.columnStride)")
                + ", exchange \(mode.rawValue)"
        case .ring(let grid):
            views =
                "\(viewCount) windows of \(grid.window) all the way round, stride \(grid.stride)"
        case .shifted(let grid):
            views = "\(grid.count) windows of \(grid.window), shifted together"
        }
        return views + (prompt == 0 ? "" : ", of the text of region \(prompt)")
            + (mask.map { ", \($0.summary)" } ?? "") + (source == .canvas ? "" : ", \(source)")
            + (share == .one ? "" : ", share \(share)")
            + ", guidance \(guidanceScale)" + (bandSplit.map { ", \($0)" } ?? "")
            + ", told \(conditioning.rawValue)"
    }
}

extension RegionMask {
    /// `in 32×64 at (0, 0)`, in latents, from the left and the top.
    fileprivate var summary: String {
        guard let region else { return "outside of regions" }
        let own = regions[region]
        return "in \(own.width)×\(own.height) at (\(own.x), \(own.y))"
    }
}

extension BandSplit: CustomStringConvertible {
    /// One clause.
    package var description: String { "\(highScale) for what is finer than \(low)" }
}

extension ViewSource: CustomStringConvertible {
    /// One clause.
    package var description: String {
        switch self {
        case .canvas: "of the canvas"
        case .blurred(let size, let sigma): "of the canvas blurred over \(size) by \(sigma)"
        }
    }
}

extension PlannedSource: CustomStringConvertible {
    /// One clause.
    package var description: String {
        switch self {
        case .canvas: "of the canvas"
        case .blurred(let size, let sigma): "of the canvas blurred over \(size) by \(sigma)"
        }
    }
}

extension PlanPhase {
    /// Its canvas, and what makes it.
    fileprivate var summary: String {
        let size = "latent \(latent)" + (canvas == latent ? "" : ", padded to \(canvas)")
        return ([size] + (entry + exit).map(\.description)).joined(separator: "; ")
    }
}

extension CanvasOperation: CustomStringConvertible {
    /// One clause.
    package var description: String {
        switch self {
        case .encode(let source, let size) where source == size: "the picture encoded"
        case .encode(let source, let size):
            "the picture \(source.area < size.area ? "enlarged" : "reduced") to \(size) pixels, "
                + "encoded"
        case .redraw(let picture, let filter, let sharpening):
            "decoded, enlarged to \(picture) pixels, "
                + (filter == .bicubic ? "" : "each the \(filter.rawValue), ")
                + (sharpening == 0 ? "" : "sharpened by \(sharpening), ") + "encoded"
        case .boost(let factor, let low): "what is finer than \(low) times \(factor)"
        case .keep(let name, let low): "\(low) of it kept as \(name)"
        case .keepBand(let name, let low): "its low band of \(low) kept as \(name)"
        case .renoise: "noise added"
        case .resample(let extent): "enlarged to \(extent)"
        case .takeLow(let name, let low): "\(low) of it taken from \(name)"
        case .mixAnchor(let name, let weight): "mixed with \(name) under noise by \(weight)"
        case .restoreMoments(let name): "mean and deviation of \(name) restored"
        }
    }
}

extension PredictionOperation: CustomStringConvertible {
    /// One clause.
    package var description: String {
        switch self {
        case .holdLow(let name, let weight):
            "held to \(name)" + (weight == .one ? "" : " by \(weight)")
        case .swapBand(let name): "its low band that of \(name)"
        case .injectNoise(let share): "noise injected, \(share) of the way"
        }
    }
}
