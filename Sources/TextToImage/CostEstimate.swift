package import Denoising
internal import Sampling
internal import Tensors

/// What a picture is expected to take in this process: one item of each kind is computed and timed,
/// and counted as often as the plan has its like.
package struct CostEstimate: Equatable, Sendable {
    /// Items of one kind and shape.
    package struct Part: Equatable, Sendable {
        /// For people: `views of 16×16`.
        package let name: String
        package let count: Int
        /// Of one, timed alone.
        package let seconds: Double

        package init(name: String, count: Int, seconds: Double) {
            self.name = name
            self.count = count
            self.seconds = seconds
        }
    }

    package let parts: [Part]

    /// Of the whole picture.
    package var seconds: Double { parts.reduce(0) { $0 + Double($1.count) * $1.seconds } }

    package init(parts: [Part]) { self.parts = parts }

    /// Times one item of each kind of `picture` on `model`, the first time unheard: it prepares
    /// weights and memory that all later ones find. `now` is a clock in seconds. Throws what the
    /// model throws, and `CancellationError`.
    package static func measure(
        _ picture: PicturePlan, on model: some ComputeModel, with conditioning: Conditioning,
        now: () -> Double
    ) async throws -> CostEstimate {
        try await model.prepare(conditioning)
        var parts: [Part] = []
        for work in picture.kindsOfWork {
            var seconds = 0.0
            for _ in 0..<2 {
                let start = now()
                let item = work.item
                _ = try await abandonable {
                    try await model.compute(item, conditioning: conditioning.fingerprint)
                }
                seconds = now() - start
            }
            parts.append(
                Part(
                    name: work.name, count: work.count,
                    seconds: seconds / Double(work.countOfItem)))
        }
        return CostEstimate(parts: parts)
    }
}

/// Items of a plan that take the same time.
struct KindOfWork {
    let name: String
    /// How many views or tiles of it the plan has.
    var count: Int
    /// One of its items.
    let item: WorkItem
    /// Views or tiles in that.
    let countOfItem: Int
}

extension PicturePlan {
    /// Every kind once, views first.
    var kindsOfWork: [KindOfWork] { views + tilesOfWork }

    private var views: [KindOfWork] {
        var kinds: [KindOfWork] = []
        var places: [[Int]: Int] = [:]
        for (number, phase) in plan.phases.enumerated() {
            let first = plan.steps(ofPhase: number).lowerBound
            for stage in phase.stages {
                let step = plan.step(at: first + stage.steps.lowerBound)
                for (group, planned) in zip(stage.groups, step.groups) {
                    let extent = group.viewExtent
                    let isGuided = group.isGuided
                    let count = stage.steps.count * group.viewCount
                    let key = [extent.height, extent.width, isGuided ? 1 : 0]
                    if let place = places[key] {
                        kinds[place].count += count
                        continue
                    }
                    places[key] = kinds.count
                    let inItem = min(plan.request.viewsPerTask, group.viewCount)
                    kinds.append(
                        KindOfWork(
                            name: "views of \(extent)" + (isGuided ? ", guided" : ""),
                            count: count, item: item(of: planned, extent, inItem, at: step),
                            countOfItem: inItem))
                }
            }
        }
        return kinds
    }

    private func item(
        of group: GroupPlan, _ extent: Extent, _ count: Int, at step: StepPlan
    ) -> WorkItem {
        let sample = InitialNoise.native.latent(
            channels: plan.request.model.channels, height: extent.height, width: extent.width,
            seed: 0)
        return .denoise(
            DenoiseTask(
                index: 0, step: step.number, timestep: step.timestep.value,
                guidanceScale: group.guidanceScale, guidanceRescale: step.guidanceRescale,
                bandSplit: group.bandSplit,
                views: group.views.prefix(count).map {
                    ViewInput(sample: sample, microConditioning: $0.microConditioning)
                }))
    }

    private var tilesOfWork: [KindOfWork] {
        let (tile, model) = (tiles.tile, plan.request.model)
        let latent = InitialNoise.native.latent(
            channels: model.channels, height: tile.height, width: tile.width, seed: 0)
        let onTheWay = plan.tilesOnTheWay
        var kinds = [
            KindOfWork(
                name: "tiles decoded", count: tiles.count + onTheWay.decoded,
                item: .decode(DecodeTask(index: 0, tile: latent)), countOfItem: 1)
        ]
        if onTheWay.encoded > 0 {
            let (height, width) = (
                tile.height * model.scaleFactor, tile.width * model.scaleFactor
            )
            let grey = RGBImage(
                height: height, width: width,
                values: [Float](repeating: 0.5, count: 3 * height * width))
            kinds.append(
                KindOfWork(
                    name: "tiles encoded", count: onTheWay.encoded,
                    item: .encode(EncodeTask(index: 0, pixels: grey)), countOfItem: 1))
        }
        return kinds
    }
}
