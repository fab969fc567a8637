import ImageFilters
import Sampling
import Synchronization
import Tensors
import TestSupport
import Testing

@testable import Denoising

/// A request for `height`×`width` that starts from a picture.
private func makeRequest(
    _ height: Int, _ width: Int, from image: Extent, strength: Double? = nil,
    model: ModelGeometry = toyModel, steps: Int = 5, sampler: Sampler = makeSampler(),
    _ change: (inout PlanRequest) -> Void = { _ in }
) -> PlanRequest {
    makeRequest(height: height, width: width, model: model, steps: steps, sampler: sampler) {
        $0.image = StartImage(extent: image, digest: "d1", strength: strength)
        change(&$0)
    }
}

@Suite("A plan that starts from a picture", .watched)
struct StartImagePlanTests {
    /// Extents of the canvases from phase to phase, in pixels of the picture.
    private func sizes(
        _ height: Int, _ width: Int, from image: Extent, model: ModelGeometry = toyModel
    ) throws -> [Extent] {
        let plan = try UpscaleMethod().plan(
            for: makeRequest(height, width, from: image, model: model))
        try plan.validate()
        return plan.phases.map(\.latent)
    }

    @Test("begins at the picture's first enlargement, at its size, or at the native one")
    func phases() throws {
        func square(_ side: Int) -> Extent { Extent(height: side, width: side) }
        #expect(try sizes(128, 128, from: square(64)) == [square(16)])
        #expect(try sizes(256, 256, from: square(64)) == [square(16), square(32)])
        #expect(try sizes(192, 192, from: square(192)) == [square(24)])
        #expect(try sizes(128, 128, from: square(640)) == [square(16)])
        #expect(try sizes(256, 256, from: square(20)) == [square(8), square(16), square(32)])
        #expect(try sizes(64, 64, from: square(20)) == [square(8)])
        // Of its shape from the first canvas on, which is padded to what the network takes.
        #expect(
            try sizes(288, 192, from: Extent(height: 72, width: 48))
                == [
                    Extent(height: 10, width: 7), Extent(height: 19, width: 13),
                    Extent(height: 36, width: 24),
                ])
        let wide = Extent(height: 512, width: 2048)
        #expect(
            try sizes(2048, 8192, from: wide, model: sdxlModel)
                == [Extent(height: 128, width: 512), Extent(height: 256, width: 1024)])
        // Narrower than native, and longer.
        #expect(
            try sizes(400, 1200, from: Extent(height: 400, width: 1200), model: sdxlModel)
                == [Extent(height: 50, width: 150)])
    }

    @Test("takes the last of the steps, as many as its strength says (SDEdit, algorithm 1)")
    func strength() throws {
        for (strength, count) in [(1.0, 20), (0.5, 10), (0.26, 5), (0.001, 1)] {
            let plan = try UpscaleMethod().plan(
                for: makeRequest(
                    64, 64, from: Extent(height: 64, width: 64), strength: strength, steps: 20))
            #expect(plan.phases[0].schedule.count == count)
            #expect(plan.phases[0].schedule.length == 20)
        }
        let small = try UpscaleMethod().plan(
            for: makeRequest(
                256, 256, from: Extent(height: 64, width: 64), strength: 0.1, steps: 25))
        let usual = try UpscaleMethod().plan(
            for: makeRequest(256, 256, from: Extent(height: 64, width: 64), steps: 25))
        // Nothing changes more later on than in the beginning.
        #expect(
            small.phases[1].schedule.timesteps[0].sigma
                < usual.phases[1].schedule.timesteps[0].sigma)
        #expect(usual.request.image?.strength == UpscaleMethod.usualStrength)
    }

    @Test("keeps the picture's shape where its sides are no multiples of anything")
    func oddSides() throws {
        let plan = try UpscaleMethod().plan(
            for: makeRequest(202, 338, from: Extent(height: 101, width: 169)))
        guard case .encode(let source, let size)? = plan.phases[0].entry.first else {
            Issue.record("it does not begin with the picture")
            return
        }
        #expect(source == Extent(height: 101, width: 169))
        #expect(size == Extent(height: 202, width: 338))
        #expect(plan.phases[0].latent == Extent(height: 26, width: 43))
    }

    @Test("is another one for another picture or strength")
    func fingerprints() throws {
        func fingerprint(_ change: (inout PlanRequest) -> Void = { _ in }) throws -> Fingerprint {
            let image = Extent(height: 64, width: 64)
            return try UpscaleMethod().plan(for: makeRequest(128, 128, from: image, change))
                .fingerprint
        }
        let all = try [
            fingerprint(), fingerprint { $0.image?.strength = 0.8 },
            fingerprint { $0.image = StartImage(extent: $0.image!.extent, digest: "d2") },
            fingerprint {
                $0.image = StartImage(extent: Extent(height: 65, width: 64), digest: "d1")
            },
            fingerprint { $0.image = nil },
        ]
        #expect(Set(all).count == all.count)
        #expect(try fingerprint() == all[0])
    }

    @Test("refuses what makes no picture")
    func refusals() throws {
        let image = Extent(height: 64, width: 64)
        for strength in [0, -0.1, 1.01, .nan, .infinity] {
            #expect(throws: PlanningError.self) {
                try UpscaleMethod().plan(
                    for: makeRequest(64, 64, from: image, strength: strength))
            }
        }
        #expect(
            throws: PlanningError.belowNativeOfImage(
                height: 60, width: 60, nativePixels: 64, shortest: 16)
        ) { try UpscaleMethod().plan(for: makeRequest(60, 60, from: image)) }
        #expect(throws: PlanningError.self) {
            try UpscaleMethod().plan(for: makeRequest(15, 640, from: image))
        }
    }

    @Test("is made by one method", arguments: DenoisingMethods.all.map(\.name))
    func methods(name: String) throws {
        let method = try DenoisingMethods.method(named: name)
        let request = makeRequest(128, 128, from: Extent(height: 64, width: 64))
        guard name != "upscale" else {
            #expect(throws: Never.self) { try method.plan(for: request) }
            return
        }
        #expect(
            throws: PlanningError.optionWithoutEffect("a picture to start from", method: name)
        ) { try method.plan(for: request) }
    }
}

@Suite("A run that starts from a picture", .watched)
struct StartImageRunTests {
    private func noise(of plan: DenoisingPlan) -> Latent {
        InitialNoise.native.latent(
            channels: 3, height: plan.noise.height, width: plan.noise.width, seed: 5)
    }

    private func loop(_ request: PlanRequest) throws -> DenoisingLoop {
        let plan = try UpscaleMethod().plan(for: request)
        try plan.validate()
        return makeLoop(
            plan,
            openPicture: toyBands(of: toyPhoto(try #require(request.image).extent)))
    }

    @Test("is the plain sampler at native size and full strength, where that leaves only noise")
    func plainSampler() async throws {
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.predictionType = PredictionType.vPrediction.rawValue
        configuration.rescaleBetasZeroSNR = true
        configuration.timestepSpacing = "trailing"
        let sampler = Sampler(name: "ddim", configuration: configuration)
        let loop = try loop(
            makeRequest(
                64, 64, from: Extent(height: 64, width: 64), strength: 1, steps: 4,
                sampler: sampler))
        let workers = SimulatedWorkers(predict: entangledPredictor)
        let plain = try await run("direct", sampler, height: 64, width: 64, executor: workers)
        let start = loop.initialState(noise: noise(of: loop.plan))
        #expect(try await loop.run(from: start, with: workers) == plain)
    }

    @Test(
        "is the same whoever computes, and goes on without the picture once that is encoded",
        arguments: [(200, 131, 100, 66), (64, 64, 64, 64), (41, 131, 50, 160)])
    func resume(height: Int, width: Int, imageHeight: Int, imageWidth: Int) async throws {
        let image = Extent(height: imageHeight, width: imageWidth)
        let loop = try loop(makeRequest(height, width, from: image))
        let forgetful = makeLoop(loop.plan)
        let start = loop.initialState(noise: noise(of: loop.plan))
        let workers = SimulatedWorkers(
            workers: 3, repeatsAnswers: true, predict: entangledPredictor)
        var states: [DenoisingState] = []
        let result = try await loop.run(from: start, with: workers) { event in
            switch event {
            case .merged(let step, let state):
                if state.mergedTasks < step.taskCount { states.append(state) }
            case .advanced(let state), .entered(let state): states.append(state)
            case .redrawn: break
            }
        }
        let one = SimulatedWorkers(predict: entangledPredictor)
        #expect(try await loop.run(from: start, with: one) == result)
        #expect(states.first?.phase == 0 && states.first?.nextStep == 0)
        for state in states {
            try #require(forgetful.isStart(state))
            #expect(try await forgetful.run(from: state, with: one) == result)
        }
        try #require(loop.isStart(start))
        await #expect(throws: DenoisingError.pictureMissing) {
            try await forgetful.run(from: start, with: one)
        }
    }

    @Test("keeps what is larger than two cells of a picture that is enlarged")
    func layout() async throws {
        let loop = try loop(makeRequest(128, 128, from: Extent(height: 64, width: 64)))
        // Whatever the network says, and at whatever strength.
        let workers = SimulatedWorkers { view, _ in view.sample.mapValues { 0.9 * $0 + 0.3 } }
        var low: Latent?
        let start = loop.initialState(noise: noise(of: loop.plan))
        let result = try await loop.run(from: start, with: workers) { event in
            if case .entered(let state) = event { low = state.kept.first?.latent }
        }
        let kept = try #require(low)
        let found = result.resampled(height: kept.height, width: kept.width, filter: .bicubic)
        let mean = kept.values.reduce(0, +) / Float(kept.values.count)
        let other = found.values.reduce(0, +) / Float(found.values.count)
        #expect(abs(mean - other) < 0.05)
    }
}

@Suite("A picture that is encoded", .watched)
struct PictureEncodingTests {
    @Test(
        "is in bands what it is as a whole",
        arguments: [
            (64, 64, 64, 64), (64, 64, 128, 128), (300, 41, 150, 21), (37, 90, 101, 246),
            (16, 700, 16, 700),
        ], [1, 13, 1000])
    func bands(size: (Int, Int, Int, Int), rows: Int) async throws {
        let source = Extent(height: size.0, width: size.1)
        let extent = Extent(height: size.2, width: size.3)
        let cells = Extent(height: (size.2 + 7) / 8, width: (size.3 + 7) / 8)
        let encoding = PictureEncoding(
            of: source, size: extent, to: TileGrid(latent: cells, model: toyModel))
        let photo = toyPhoto(source)
        var bands = try toyBands(of: photo, rows: rows)()
        let found = try await encoding.encode(
            with: SimulatedWorkers(workers: 2, predict: entangledPredictor),
            conditionings: [emptyConditioning], onTile: {}, nextBand: { try bands.next() })
        var large = photo.resampled(
            height: extent.height, width: extent.width, filter: encoding.filter)
        for index in large.values.indices {
            large.values[index] = min(max(large.values[index], 0), 1)
        }
        var padded = RGBImage(
            height: cells.height * 8, width: cells.width * 8,
            values: Array(repeating: 0, count: 3 * 64 * cells.area))
        for channel in 0..<3 {
            for y in 0..<padded.height {
                for x in 0..<padded.width {
                    let row = channel * extent.height + min(y, extent.height - 1)
                    padded.values[(channel * padded.height + y) * padded.width + x] =
                        large.values[row * extent.width + min(x, extent.width - 1)]
                }
            }
        }
        let whole = toyAnswer(
            to: .encode(EncodeTask(index: 0, pixels: padded)), entangledPredictor)
        guard case .encode(let expected) = whole else {
            Issue.record("no latent")
            return
        }
        #expect(relativeDifference(found, expected) < 1e-5)
    }
}
