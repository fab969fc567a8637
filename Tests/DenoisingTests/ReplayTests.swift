import Denoising
import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

/// Replays an expanded plan from its JSON alone: plain loops in double precision, sharing no code
/// with the program. What another program would do with `tessera plan --format json --expand`.
private struct Replay {
    let plan: [String: Any]

    var channels: Int { number(object(plan, "latent"), "channels") }
    var height: Int { number(object(plan, "canvas"), "height") }
    var width: Int { number(object(plan, "canvas"), "width") }

    func object(_ from: [String: Any], _ key: String) -> [String: Any] {
        from[key] as? [String: Any] ?? [:]
    }

    func number(_ from: [String: Any], _ key: String) -> Int { from[key] as? Int ?? -1 }

    func real(_ from: [String: Any], _ key: String) -> Double {
        (from[key] as? Double) ?? Double(from[key] as? String ?? "") ?? .nan
    }

    /// From unit noise, channels × height × width of the latent, to the finished latent.
    func run(_ noise: [Double]) -> [Double] {
        let request = object(plan, "request")
        let (innerHeight, innerWidth) = (
            number(object(plan, "latent"), "height"), number(object(plan, "latent"), "width")
        )
        var start: [Double] = []
        for index in 0..<channels * height * width {
            let (channel, y, x) = (
                index / (height * width), index / width % height, index % width
            )
            let row = channel * innerHeight + y % innerHeight
            start.append(noise[row * innerWidth + x % innerWidth])
        }
        let isEuler = request["scheduler"] as? String == "euler"
        let kind = request["prediction_type"] as? String ?? ""
        var state = start.map { $0 * real(request, "initial_noise_sigma") }
        for step in plan["steps"] as? [[String: Any]] ?? [] {
            let sigma = real(step, "sigma")
            let (now, next) = (real(step, "alpha_cumprod"), real(step, "next_alpha_cumprod"))
            let divisor = isEuler ? (sigma * sigma + 1).squareRoot() : 1
            let prediction = predict(state.map { $0 / divisor }, step)
            for index in state.indices {
                // Into variance-preserving terms, one DDIM step, and back.
                let scaled = isEuler ? state[index] * now.squareRoot() : state[index]
                let output = prediction[index]
                let (clean, noise): (Double, Double) =
                    kind == "epsilon"
                    ? ((scaled - (1 - now).squareRoot() * output) / now.squareRoot(), output)
                    : (
                        now.squareRoot() * scaled - (1 - now).squareRoot() * output,
                        now.squareRoot() * output + (1 - now).squareRoot() * scaled
                    )
                let arrived = next.squareRoot() * clean + (1 - next).squareRoot() * noise
                state[index] = isEuler ? arrived / next.squareRoot() : arrived
            }
        }
        return state.indices.filter {
            $0 / width % height < innerHeight && $0 % width < innerWidth
        }.map { state[$0] }
    }

    /// The weighted mean of all views' predictions.
    private func predict(_ input: [Double], _ step: [String: Any]) -> [Double] {
        var sum = [Double](repeating: 0, count: input.count)
        var weights = sum
        for view in step["views"] as? [[String: Any]] ?? [] {
            let addresses = addresses(of: view)
            let seen = addresses.cells.map { $0 < 0 ? 0 : input[$0] }
            let output = network(
                seen, height: addresses.height, width: addresses.width,
                timestep: real(step, "timestep"), timeIDs: view["time_ids"] as? [Int] ?? [])
            let rows = view["row_weights"] as? [Double]
            let columns = view["column_weights"] as? [Double]
            for (element, address) in addresses.cells.enumerated() where address >= 0 {
                let row = element / addresses.width % addresses.height
                let column = element % addresses.width
                let weight =
                    real(view, "weight") * (rows?[row] ?? 1) * (columns?[column] ?? 1)
                sum[address] += weight * output[element]
                weights[address] += weight
            }
        }
        return zip(sum, weights).map { $0 / $1 }
    }

    /// Where each element of a view lies on the canvas, −1 outside.
    private func addresses(
        of view: [String: Any]
    ) -> (height: Int, width: Int, cells: [Int]) {
        var cells: [Int] = []
        if view["kind"] as? String == "window" {
            let (viewHeight, viewWidth) = (number(view, "height"), number(view, "width"))
            for channel in 0..<channels {
                for y in number(view, "y")..<number(view, "y") + viewHeight {
                    for x in number(view, "x")..<number(view, "x") + viewWidth {
                        let isInside = y >= 0 && y < height && x >= 0 && x < width
                        cells.append(isInside ? (channel * height + y) * width + x : -1)
                    }
                }
            }
            return (viewHeight, viewWidth, cells)
        }
        let rowStride = number(view, "stride")
        let columnStride = view["column_stride"] as? Int ?? rowStride
        let (viewHeight, viewWidth) = (height / rowStride, width / columnStride)
        let permutation = view["permutation"] as? [Int]
        for channel in 0..<channels {
            for i in 0..<viewHeight {
                for j in 0..<viewWidth {
                    var phase = number(view, "row") * columnStride + number(view, "column")
                    if let permutation {
                        let cell = i * viewWidth + j
                        let isShared = permutation.count == viewHeight * viewWidth
                        phase =
                            permutation[
                                isShared ? cell : channel * viewHeight * viewWidth + cell]
                    }
                    let y = i * rowStride + phase / columnStride
                    let x = j * columnStride + phase % columnStride
                    cells.append((channel * height + y) * width + x)
                }
            }
        }
        return (viewHeight, viewWidth, cells)
    }

    /// The same stand-in as `entangledPredictor`, written anew.
    private func network(
        _ seen: [Double], height: Int, width: Int, timestep: Double, timeIDs: [Int]
    ) -> [Double] {
        let mean = seen.reduce(0, +) / Double(seen.count)
        var place = 0
        for (index, id) in timeIDs.enumerated() { place += id * (index + 1) }
        return seen.indices.map { index in
            let (channel, cell) = (index / (height * width), index % (height * width))
            let (y, x) = (cell / width, cell % width)
            let neighbour =
                (((channel + 1) % channels) * height + y) * width + (x + 1) % width
            return 0.3 * seen[index] + 0.2 * seen[neighbour] + 0.05 * mean + 1e-4 * timestep
                + 1e-4 * Double(place)
        }
    }
}

@Suite("An expanded plan can be replayed by another program", .watched)
struct ReplayTests {
    /// A variant of a request to replay.
    struct Case: Sendable, CustomTestStringConvertible {
        let method: String
        let scheduler: String
        let height: Int
        let width: Int
        var prediction = PredictionType.epsilon
        var zeroTerminalSNR = false
        var change: @Sendable (inout PlanRequest) -> Void = { _ in }

        var testDescription: String { "\(method), \(scheduler), \(width)×\(height)" }
    }

    static let cases = [
        Case(method: "direct", scheduler: "euler", height: 75, width: 130),
        Case(method: "multidiffusion", scheduler: "ddim", height: 75, width: 130) {
            $0.feather = .gaussian
            $0.jitter = true
        },
        Case(method: "cutdiffusion", scheduler: "euler", height: 128, width: 192),
        Case(method: "cutdiffusion", scheduler: "euler", height: 104, width: 150) {
            $0.interaction = .perChannel
            $0.viewsPerTask = 3
        },
        Case(
            method: "cutdiffusion", scheduler: "ddim", height: 128, width: 128,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "cutdiffusion", scheduler: "euler", height: 64, width: 128) {
            $0.compatibility = .cutDiffusion
        },
    ]

    private func scheduler(_ test: Case) throws -> any Scheduler {
        guard test.zeroTerminalSNR else {
            return try makeScheduler(test.scheduler, steps: 6, prediction: test.prediction)
        }
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.predictionType = test.prediction.rawValue
        configuration.rescaleBetasZeroSNR = true
        configuration.timestepSpacing = "trailing"
        return try Schedulers.entry(named: test.scheduler, configuration: configuration)
            .makeScheduler(configuration: configuration, steps: 6)
    }

    @Test("with the same result", arguments: cases)
    func replay(test: Case) async throws {
        let scheduler = try scheduler(test)
        let request = makeRequest(
            height: test.height, width: test.width,
            schedule: SamplingSchedule(name: test.scheduler, scheduler: scheduler),
            test.change)
        let plan = try DenoisingMethods.method(named: test.method).plan(for: request)
        let loop = DenoisingLoop(
            plan: plan, scheduler: scheduler, conditioning: emptyConditioning)
        let noise = InitialNoise.native.latent(
            channels: 3, height: plan.latent.height, width: plan.latent.width, seed: 11)
        let result = try await loop.run(
            from: loop.initialState(noise: noise),
            with: SimulatedWorkers(workers: 3, predict: entangledPredictor))

        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: true))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let replayed = Replay(plan: object).run(noise.values.map(Double.init))
        let latent = Latent(
            channels: 3, height: plan.latent.height, width: plan.latent.width,
            values: replayed.map(Float.init))
        #expect(relativeDifference(latent, result) < 1e-4)
    }

    @Test("and says what its readers rely on")
    func keys() throws {
        let request = makeRequest(height: 128, width: 128) { $0.structureSteps = 3 }
        let plan = try CutDiffusionMethod().plan(for: request)
        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: true))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let latent = try #require(object["latent"] as? [String: Int])
        #expect(latent == ["height": 16, "width": 16, "channels": 3])
        let fields = try #require(object["request"] as? [String: Any])
        #expect(fields["structure_steps"] as? Int == 3)
        let steps = try #require(object["steps"] as? [[String: Any]])
        #expect(steps.count == 6)
        for (index, step) in steps.enumerated() {
            #expect(step["index"] as? Int == index)
            for key in ["timestep", "sigma", "guidance_scale"] { #expect(step[key] is Double) }
            let views = try #require(step["views"] as? [[String: Any]])
            let isStructure = index < 3
            #expect(views.count == (isStructure ? 4 : 9))
            for (number, view) in views.enumerated() {
                #expect(view["kind"] as? String == (isStructure ? "lattice" : "window"))
                let keys =
                    isStructure ? ["row", "column", "stride"] : ["y", "x", "height", "width"]
                for key in keys { #expect(view[key] is Int) }
                #expect((view["permutation"] as? [Int])?.count == (isStructure ? 64 : nil))
                #expect((view["time_ids"] as? [Int])?.count == 6)
                #expect(view["weight"] as? Double == 1)
                #expect(view["task"] as? Int == number)
            }
        }
    }

    @Test("or printed in short")
    func short() throws {
        let plan = try CutDiffusionMethod().plan(for: makeRequest(height: 128, width: 128))
        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: false))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let steps = try #require(object["steps"] as? [[String: Any]])
        #expect(steps[0]["views"] == nil)
        #expect(steps[0]["view_count"] as? Int == 4)
    }
}
