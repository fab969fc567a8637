import Denoising
import Sampling
import Tensors

/// A model of toy size: 8 × 8 latents of 8 pixels, three channels.
let toyModel = ModelGeometry(nativeSide: 8, scaleFactor: 8, channels: 3, sizeMultiple: 2)

/// SDXL's geometry.
let sdxlModel = ModelGeometry(nativeSide: 128, scaleFactor: 8, channels: 4, sizeMultiple: 8)

/// A scheduler on SDXL's training schedule, by its registered name.
func makeScheduler(
    _ name: String, steps: Int, prediction: PredictionType = .epsilon
) throws -> any Scheduler {
    var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
    configuration.timestepSpacing = "leading"
    configuration.stepsOffset = 1
    configuration.setAlphaToOne = false
    configuration.predictionType = prediction.rawValue
    return try Schedulers.entry(named: name, configuration: configuration)
        .makeScheduler(configuration: configuration, steps: steps)
}

/// A schedule of made-up numbers, for plans that are not run.
func makeSchedule(steps: Int) -> SamplingSchedule {
    SamplingSchedule(name: "countdown", scheduler: makeCountdown(steps: steps))
}

/// The scheduler of ``makeSchedule(steps:)``.
func makeCountdown(steps: Int) -> any Scheduler {
    struct Countdown: Scheduler {
        let timesteps: [Timestep]
        let initialNoiseSigma = 1.0
        let predictionType = PredictionType.epsilon
        func sigma(after step: StepIndex) -> Double {
            Double(timesteps.count - step.value - 1)
        }
        func scaledModelInput(_ sample: Latent, at step: StepIndex) -> Latent { sample }
        func step(prediction: Latent, sample: Latent, at step: StepIndex) -> Latent { sample }
    }
    return Countdown(
        timesteps: (0..<steps).map {
            Timestep(value: Double(steps - $0), sigma: Double(steps - $0))
        })
}

func makeRequest(
    height: Int, width: Int, model: ModelGeometry = toyModel, steps: Int = 6,
    schedule: SamplingSchedule? = nil, _ change: (inout PlanRequest) -> Void = { _ in }
) -> PlanRequest {
    var request = PlanRequest(
        height: height, width: width, model: model,
        schedule: schedule ?? makeSchedule(steps: steps), seed: 11, guidanceScale: 3)
    change(&request)
    return request
}

let emptyConditioning = Conditioning(
    prompt: PromptEmbedding(hiddenStates: Tensor(zeros: Shape(1, 1)), pooled: nil),
    negative: PromptEmbedding(hiddenStates: Tensor(zeros: Shape(1, 1)), pooled: nil))

/// A stand-in for a network.
typealias Predictor = @Sendable (_ view: ViewInput, _ task: DenoiseTask) -> Latent

/// Depends on everything a network's answer depends on: the element, its surroundings, the
/// timestep and the micro-conditioning.
let entangledPredictor: Predictor = { view, task in
    let sample = view.sample
    let mean = sample.values.reduce(0, +) / Float(sample.values.count)
    let place = zip(view.microConditioning.timeIDs, 1...).reduce(0) { $0 + $1.0 * $1.1 }
    let offset = 0.05 * mean + 1e-4 * Float(task.timestep) + 1e-4 * Float(place)
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
        _ items: [WorkItem],
        conditioning: Conditioning,
        deliver: (_ index: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        var random = PhiloxGenerator(seed: seed, purpose: .jitter, step: 0, index: workers)
        var clocks = [Int](repeating: 0, count: workers)
        var finished: [(time: Int, position: Int)] = []
        for position in items.indices {
            let worker = clocks.indices.min { clocks[$0] < clocks[$1] } ?? 0
            clocks[worker] += random.uniform(in: 1...100)
            finished.append((clocks[worker], position))
        }
        for (_, position) in finished.sorted(by: { $0 < $1 }) {
            guard case .denoise(let task) = items[position] else { continue }
            let answer = WorkAnswer.denoise(task.views.map { predict($0, task) })
            try await deliver(task.index, answer)
            if repeatsAnswers, task.index % 3 == 0 { try await deliver(task.index, answer) }
        }
    }
}

/// Plans and runs a request with a real scheduler; returns the finished latent.
func run(
    _ method: String,
    _ scheduler: any Scheduler,
    name: String = "euler",
    height: Int,
    width: Int,
    model: ModelGeometry = toyModel,
    executor: some TaskExecutor,
    _ change: (inout PlanRequest) -> Void = { _ in }
) async throws -> Latent {
    let request = makeRequest(
        height: height, width: width, model: model,
        schedule: SamplingSchedule(name: name, scheduler: scheduler), change)
    let plan = try DenoisingMethods.method(named: method).plan(for: request)
    try plan.validate()
    let loop = DenoisingLoop(plan: plan, scheduler: scheduler, conditioning: emptyConditioning)
    let noise = InitialNoise.native.latent(
        channels: model.channels, height: plan.latent.height, width: plan.latent.width, seed: 5)
    return try await loop.run(from: loop.initialState(noise: noise), with: executor)
}

/// The largest difference of two latents, relative to the larger one's largest magnitude.
func relativeDifference(_ one: Latent, _ other: Latent) -> Float {
    guard one.hasSameExtents(as: other) else { return .infinity }
    let scale = other.values.reduce(1e-30) { max($0, abs($1)) }
    return zip(one.values, other.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
}
