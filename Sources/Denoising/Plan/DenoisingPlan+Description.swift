internal import Sampling

extension DenoisingPlan: CustomStringConvertible {
    /// What `tessera plan` prints: the request, one line per stage, the sum of the work.
    package var description: String {
        let request = request
        var lines = [
            "\(method), \(picture) pixels, \(stepCount) steps of \(request.schedule.scheduler) "
                + "(\(request.schedule.predictionType.rawValue)), seed \(request.seed)",
            "latent \(latent) × \(request.model.channels) channels"
                + (canvas == latent ? "" : ", padded to \(canvas)")
                + ", native window \(request.window)",
        ]
        lines += stages.filter { !$0.steps.isEmpty }.map(describe)
        let guided = stages.contains { $0.guidanceScale > 1 }
        lines.append(
            "\(forwardCount) views in all"
                + (guided ? ", each evaluated with and without the prompt" : "")
                + (request.viewsPerTask > 1 ? "; \(request.viewsPerTask) views per task" : ""))
        lines.append("fingerprint \(fingerprint)")
        return lines.joined(separator: "\n")
    }

    private func describe(_ stage: PlanStage) -> String {
        let last = stage.steps.upperBound - 1
        let range =
            stage.steps.count == 1 ? "step \(last)" : "steps \(stage.steps.lowerBound)–\(last)"
        let views: String
        switch stage.geometry {
        case .windows(let grid) where grid.count == 1:
            views = "one view of \(grid.window)"
        case .windows(let grid):
            views =
                "\(grid.count) windows of \(grid.window), stride \(grid.stride)"
                + (grid.jitter > 0 ? ", jitter ±\(grid.jitter), \(grid.edge.rawValue)" : "")
        case .lattices(let grid, let mode):
            views =
                "\(grid.count) lattices of \(grid.patch), stride \(grid.rowStride)"
                + (grid.columnStride == grid.rowStride ? "" : " by \(grid.columnStride)")
                + ", exchange \(mode.rawValue)"
        }
        return "\(stage.name): \(range), \(views), guidance \(stage.guidanceScale), "
            + "told \(stage.conditioning.rawValue)"
    }
}
