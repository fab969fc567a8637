import Denoising
import Sampling
import Synchronization
import Tensors
import TestSupport
import Testing

/// A model of toy size: 8 × 8 latents of 8 pixels, three channels.
let toyModel = ModelGeometry(nativeSide: 8, scaleFactor: 8, channels: 3, sizeMultiple: 2)

/// SDXL's geometry.
let sdxlModel = ModelGeometry(nativeSide: 128, scaleFactor: 8, channels: 4, sizeMultiple: 8)

/// A sampler on SDXL's training schedule, by its registered name.
func makeSampler(_ name: String = "euler", prediction: PredictionType = .epsilon) -> Sampler {
    var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
    configuration.timestepSpacing = "leading"
    configuration.stepsOffset = 1
    configuration.setAlphaToOne = false
    configuration.predictionType = prediction.rawValue
    return Sampler(name: name, configuration: configuration)
}

/// The scheduler of a sampler.
func makeScheduler(_ sampler: Sampler, steps: Int) throws -> any Scheduler {
    try Schedulers.entry(named: sampler.name, configuration: sampler.configuration)
        .makeScheduler(configuration: sampler.configuration, steps: steps)
}

func makeRequest(
    height: Int, width: Int, model: ModelGeometry = toyModel, steps: Int = 6,
    sampler: Sampler = makeSampler(), _ change: (inout PlanRequest) -> Void = { _ in }
) -> PlanRequest {
    var request = PlanRequest(
        height: height, width: width, model: model, sampler: sampler, steps: steps, seed: 11,
        guidanceScale: 3)
    change(&request)
    return request
}

let emptyConditioning = Conditioning(
    prompt: PromptEmbedding(hiddenStates: Tensor(zeros: Shape(1, 1)), pooled: nil),
    negative: PromptEmbedding(hiddenStates: Tensor(zeros: Shape(1, 1)), pooled: nil))

/// A stand-in for a network.
typealias Predictor = @Sendable (_ view: ViewInput, _ task: DenoiseTask) -> Latent

/// Depends on everything a network's answer depends on: the element, its surroundings, the
/// timestep, the micro-conditioning and the text.
let entangledPredictor: Predictor = { view, task in
    let sample = view.sample
    let mean = sample.values.reduce(0, +) / Float(sample.values.count)
    let place = zip(view.microConditioning.timeIDs, 1...).reduce(0) { $0 + $1.0 * $1.1 }
    let text = 0.1 * Float(task.conditioning)
    let offset = 0.05 * mean + 1e-4 * Float(task.timestep) + 1e-4 * Float(place) + text
    var output = sample
    for channel in 0..<sample.channels {
        for y in 0..<sample.height {
            for x in 0..<sample.width {
                let here = (channel * sample.height + y) * sample.width + x
                let other = (channel + 1) % sample.channels
                let right = (other * sample.height + y) * sample.width + (x + 1) % sample.width
                output.values[here] =
                    0.3 * sample.values[here] + 0.2 * sample.values[right] + offset
            }
        }
    }
    return output
}

/// Answers in the order in which a number of simulated workers of unequal speed would.
struct SimulatedWorkers: TaskExecutor {
    var workers = 1
    var seed: UInt64 = 0
    /// Delivers some answers twice, as a network with retries may.
    var repeatsAnswers = false
    let predict: Predictor

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        var random = PhiloxGenerator(seed: seed, purpose: .jitter, step: 0, index: workers)
        var clocks = [Int](repeating: 0, count: workers)
        var finished: [(time: Int, position: Int)] = []
        for position in 0..<items.count {
            let worker = clocks.indices.min { clocks[$0] < clocks[$1] } ?? 0
            clocks[worker] += random.uniform(in: 1...100)
            finished.append((clocks[worker], position))
        }
        for (_, position) in finished.sorted(by: { $0 < $1 }) {
            let answer = toyAnswer(to: items[position], predict)
            try await deliver(position, answer)
            if repeatsAnswers, position % 3 == 0 { try await deliver(position, answer) }
        }
    }
}

/// What a toy model answers: a predictor's noise, and an autoencoder whose pixels are their cell's
/// first three channels, and whose latents are their pixels' mean.
func toyAnswer(to item: WorkItem, _ predict: Predictor) -> WorkAnswer {
    switch item {
    case .denoise(let task): .denoise(task.views.map { guided(predict($0, task), by: task) })
    case .decode(let task): .pixels(toyPicture(of: task.tile))
    case .encode(let task): .encode(toyLatent(of: task.pixels))
    }
}

/// A prediction, and where there is guidance in bands what that makes of it and of another one
/// without a prompt.
private func guided(_ prediction: Latent, by task: DenoiseTask) -> Latent {
    guard task.bandSplit != nil else { return prediction }
    return TaskGuidance(of: task).combine(
        conditional: prediction, unconditional: prediction.mapValues { 0.9 * $0 + 0.01 })
}

private let toyScale = 8

private func toyPicture(of tile: Latent) -> RGBImage {
    let cells = tile.values
    var values: [Float] = []
    // Rows are copied, because a loop over pixels that is not optimised takes long.
    for line in 0..<3 * tile.height {
        let row = (0..<tile.width).flatMap { x in
            let value = min(max(cells[line * tile.width + x] / 8 + 0.5, 0), 1)
            return [Float](repeating: value, count: toyScale)
        }
        for _ in 0..<toyScale { values += row }
    }
    return RGBImage(height: tile.height * toyScale, width: tile.width * toyScale, values: values)
}

private func toyLatent(of pixels: RGBImage) -> Latent {
    let (height, width) = (pixels.height / toyScale, pixels.width / toyScale)
    var cells = [Float](repeating: 0, count: 3 * height * width)
    let values = pixels.values
    var index = 0
    for line in 0..<3 * pixels.height {
        let first = line / toyScale * width
        for cell in first..<first + width {
            var sum = cells[cell]
            for _ in 0..<toyScale {
                sum += (values[index] * 8 - 4) / Float(toyScale * toyScale)
                index += 1
            }
            cells[cell] = sum
        }
    }
    return Latent(channels: 3, height: height, width: width, values: cells)
}

/// A picture of so many pixels that is another one everywhere.
func toyPhoto(_ extent: Extent) -> RGBImage {
    RGBImage(
        height: extent.height, width: extent.width,
        values: (0..<3 * extent.area).map { (index: Int) -> Float in
            let hundredths = (index * 37 + index / 11) % 101
            return Float(hundredths) / 100
        })
}

/// Opens a picture, which comes in bands of so many rows and then what is left.
func toyBands(of picture: RGBImage, rows: Int = 7) -> OpenPicture {
    { ToyBands(picture: picture, rows: rows) }
}

private struct ToyBands: PictureBands {
    let picture: RGBImage
    let rows: Int
    private var given = 0

    init(picture: RGBImage, rows: Int) { (self.picture, self.rows) = (picture, rows) }

    mutating func next() throws -> RGBImage {
        let range = given..<min(given + rows, picture.height)
        given = range.upperBound
        let plane = picture.height * picture.width
        let values = (0..<3).flatMap { channel in
            let first = channel * plane + range.lowerBound * picture.width
            return picture.values[first..<first + range.count * picture.width]
        }
        return RGBImage(height: range.count, width: picture.width, values: values)
    }
}

/// A loop whose texts say nothing.
func makeLoop(_ plan: DenoisingPlan, openPicture: OpenPicture? = nil) -> DenoisingLoop {
    DenoisingLoop(
        plan: plan, conditionings: Array(repeating: emptyConditioning, count: plan.promptCount),
        openPicture: openPicture)
}

/// Plans and runs a request with a real scheduler; returns the finished latent.
func run(
    _ method: String,
    _ sampler: Sampler = makeSampler(),
    steps: Int = 4,
    height: Int,
    width: Int,
    model: ModelGeometry = toyModel,
    executor: some TaskExecutor,
    _ change: (inout PlanRequest) -> Void = { _ in }
) async throws -> Latent {
    let request = makeRequest(
        height: height, width: width, model: model, steps: steps, sampler: sampler, change)
    let plan = try DenoisingMethods.method(named: method).plan(for: request)
    try plan.validate()
    let loop = makeLoop(plan)
    let noise = InitialNoise.native.latent(
        channels: model.channels, height: plan.noise.height, width: plan.noise.width, seed: 5)
    return try await loop.run(from: loop.initialState(noise: noise), with: executor)
}

/// The largest difference of two latents, relative to the larger one's largest magnitude.
func relativeDifference(_ one: Latent, _ other: Latent) -> Float {
    guard one.hasSameExtents(as: other) else { return .infinity }
    let scale = other.values.reduce(1e-30) { max($0, abs($1)) }
    return zip(one.values, other.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
}

/// Expects that a plan's run goes on from every state on its way to the same latent, and asks for
/// nothing but what that state misses.
func expectResumption(of plan: DenoisingPlan, from source: InitialNoise) async throws {
    let loop = makeLoop(plan)
    let noise = source.latent(
        channels: 3, height: plan.noise.height, width: plan.noise.width, seed: 1)
    let asked = Mutex(0)
    let workers = SimulatedWorkers(workers: 3) { view, task in
        asked.withLock { $0 += 1 }
        return entangledPredictor(view, task)
    }
    // Each with the number of views that are merged.
    var states = [(state: loop.initialState(noise: noise), merged: 0)]
    var merged = 0
    let result = try await loop.run(from: states[0].state, with: workers) { event in
        switch event {
        case .merged(let step, let state):
            let tasks = try #require(state.underWay?.mergedTasks)
            merged += step.views.count { $0.task == tasks - 1 }
            if tasks < step.taskCount { states.append((state, merged)) }
        case .advanced(let state), .entered(let state): states.append((state, merged))
        case .redrawn: break
        }
    }
    #expect(merged == plan.forwardCount)
    let tasks = (0..<plan.stepCount).reduce(0) { $0 + plan.step(at: $1).taskCount }
    // The start, what each phase but the first enters with, and what each task leaves.
    #expect(states.count == plan.phases.count + tasks)
    for (state, merged) in states {
        try #require(loop.isStart(state))
        asked.withLock { $0 = 0 }
        #expect(try await loop.run(from: state, with: workers) == result)
        #expect(asked.withLock { $0 } == plan.forwardCount - merged)
    }
}
