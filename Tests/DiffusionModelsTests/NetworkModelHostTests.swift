import ComputeBackends
import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

@Suite("Model host", .watched)
struct NetworkModelHostTests {
    private static let presets: [ModelPreset] = [.tiny, .tinySD15]

    private func host(_ model: TinyModel) -> ModelHost { ModelHost(model: model.loaded) }

    // MARK: - Answers

    @Test("a view's answer is the same bytes in any company", arguments: presets)
    func company(_ preset: ModelPreset) async throws {
        let model = try TinyModel.of(preset)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        let task = model.task([(16, 16), (16, 16), (9, 14), (16, 16), (9, 14)])
        let together = try await host.denoise(task, conditioning)
        #expect(together.count == 5)
        for (index, view) in task.views.enumerated() {
            let alone = DenoiseTask(
                index: 0, step: 0, timestep: task.timestep, guidanceScale: task.guidanceScale,
                views: [view])
            let answer = try await host.denoise(alone, conditioning)
            #expect(answer == [together[index]], "view \(index)")
            #expect(answer[0].height == view.sample.height)
        }
    }

    @Test("any number of threads gives the same bytes", arguments: presets)
    func threads(_ preset: ModelPreset) async throws {
        let model = try TinyModel.of(preset)
        let conditioning = model.conditioning()
        let task = model.task([(11, 16), (11, 16)])
        let tile = DecodeTask(index: 0, tile: task.views[0].sample)
        var answers: [[WorkAnswer]] = []
        for threads in 1...3 {
            let backend = try CPUBackend(instructionSet: .chosen(), threads: threads)
            let host = ModelHost(model: try model.on(backend))
            try await host.prepare(conditioning)
            answers.append([
                try await host.compute(.denoise(task), conditioning: conditioning.fingerprint),
                try await host.compute(.decode(tile), conditioning: conditioning.fingerprint),
            ])
        }
        #expect(answers[1] == answers[0])
        #expect(answers[2] == answers[0])
    }

    @Test("large views, whose pair takes two passes, are answered like small ones")
    func twoPasses() async throws {
        // 130 × 128 pixels twice are more than share a pass; the guided answer must still be
        // what the unguided ones combine to.
        let model = try TinyModel.of(.tiny)
        let task = model.task([(130, 128)], guidanceScale: 3)
        let host = host(model)
        let conditioning = model.conditioning()
        let swapped = Conditioning(
            prompt: conditioning.negative, negative: conditioning.prompt)
        try await host.prepare(conditioning)
        try await host.prepare(swapped)
        let plain = model.task([(130, 128)], guidanceScale: 1)
        let positive = try await host.denoise(plain, conditioning)
        let negative = try await host.denoise(plain, swapped)
        let guided = try await host.denoise(task, conditioning)
        #expect(
            guided == [
                ClassifierFreeGuidance(scale: 3)
                    .combine(conditional: positive[0], unconditional: negative[0])
            ])
    }

    @Test("guidance combines the answers for both texts", arguments: [0.0, 0.7])
    func guidance(_ rescale: Double) async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        let swapped = Conditioning(
            prompt: conditioning.negative, negative: conditioning.prompt)
        try await host.prepare(conditioning)
        try await host.prepare(swapped)
        let sizes = [(8, 8), (8, 8)]
        let plain = model.task(sizes, guidanceScale: 1)
        let positive = try await host.denoise(plain, conditioning)
        let negative = try await host.denoise(plain, swapped)
        #expect(positive != negative)
        let guided = try await host.denoise(
            model.task(sizes, guidanceScale: 6, guidanceRescale: rescale), conditioning)
        let rule = ClassifierFreeGuidance(scale: 6, rescale: rescale)
        #expect(
            guided
                == zip(positive, negative).map {
                    rule.combine(conditional: $0, unconditional: $1)
                })
    }

    @Test("micro-conditioning tells views of one content apart, where the model takes it")
    func microConditioning() async throws {
        for (preset, differs) in [(ModelPreset.tiny, true), (.tinySD15, false)] {
            let model = try TinyModel.of(preset)
            let host = host(model)
            let conditioning = model.conditioning()
            try await host.prepare(conditioning)
            var views = [model.view(height: 8, width: 8, number: 0)]
            var crop = views[0].microConditioning
            crop.cropLeft += 64
            views.append(ViewInput(sample: views[0].sample, microConditioning: crop))
            let task = DenoiseTask(
                index: 0, step: 0, timestep: 300, guidanceScale: 2, views: views)
            let answers = try await host.denoise(task, conditioning)
            #expect((answers[0] != answers[1]) == differs, "\(preset)")
        }
    }

    @Test("a task of no views has no answers")
    func noViews() async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        #expect(try await host.denoise(model.task([]), conditioning) == [])
    }

    @Test("tiles are decoded to eight times their sides, scaling factor and rounding included")
    func decode() async throws {
        let model = try TinyModel.of(.tiny)
        let tile = model.view(height: 5, width: 9, number: 0).sample
        let answer = try await host(model).compute(
            .decode(DecodeTask(index: 0, tile: tile)), conditioning: Fingerprint(value: 0))
        guard case .decode(let picture) = answer else {
            Issue.record("another kind of answer")
            return
        }
        #expect(picture.height == 40 && picture.width == 72)
        let factor = Float(model.folder.vae.scalingFactor)
        let latents = DeviceTensor(
            Tensor(shape: tile.shape, elements: tile.values.map { $0 / factor }))
        let image = model.loaded.decoder.decode(
            testBackend.channelsLast(latents), on: testBackend)
        let expected = image.elements.map { value in
            UInt8((min(max(value / 2 + 0.5, 0), 1) * 255).rounded(.toNearestOrEven))
        }
        #expect(picture.bytes == expected)
    }

    // MARK: - Conditionings and progress

    @Test("a conditioning has to be prepared, and the least used one of many is dropped")
    func conditionings() async throws {
        let model = try TinyModel.of(.tinySD15)
        let host = host(model)
        let task = model.task([(4, 4)])
        let conditionings = (0..<5).map { model.conditioning(seed: Double($0) / 10) }
        await #expect(
            throws: ComputeError.unknownConditioning(conditionings[0].fingerprint)
        ) { try await host.denoise(task, conditionings[0]) }
        for conditioning in conditionings[..<4] { try await host.prepare(conditioning) }
        // Using the first makes the second the one to go.
        let first = try await host.denoise(task, conditionings[0])
        try await host.prepare(conditionings[4])
        #expect(try await host.denoise(task, conditionings[0]) == first)
        await #expect(
            throws: ComputeError.unknownConditioning(conditionings[1].fingerprint)
        ) { try await host.denoise(task, conditionings[1]) }
        try await host.prepare(conditionings[1])
        _ = try await host.denoise(task, conditionings[1])
    }

    @Test("the operation count moves on while an item is computed")
    func progress() async throws {
        let model = try TinyModel.of(.tiny)
        let backend = try CPUBackend(instructionSet: .chosen(), threads: 1)
        let host = ModelHost(model: try model.on(backend))
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        let task = model.task([(32, 32)])
        let before = host.operationCount
        async let answer = host.denoise(task, conditioning)
        // Ends only if the count is seen to move; the computation does not need this task.
        while host.operationCount == before { await Task.yield() }
        _ = try await answer
        #expect(host.operationCount > before + 100)
    }

    @Test("hosts come and go, and answer many callers at once")
    func manyCallers() async throws {
        let model = try TinyModel.of(.tinySD15)
        let conditioning = model.conditioning()
        let task = model.task([(8, 8)])
        let expected = try model.loaded.denoise(task, texts: model.loaded.texts(conditioning))
        try await withThrowingTaskGroup(of: [Latent].self) { group in
            for _ in 0..<6 {
                let host = ModelHost(model: model.loaded)
                for _ in 0..<2 {
                    group.addTask {
                        try await host.prepare(conditioning)
                        return try await host.denoise(task, conditioning)
                    }
                }
            }
            for try await answer in group { #expect(answer == expected) }
        }
    }

    // MARK: - What does not fit

    @Test("views and tiles of other channels are refused")
    func channels() async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        let view = ViewInput(
            sample: Latent(zeros: 9, height: 8, width: 8),
            microConditioning: MicroConditioning(timeIDs: [0, 0, 0, 0, 0, 0]))
        let task = DenoiseTask(
            index: 0, step: 0, timestep: 1, guidanceScale: 1,
            views: [model.view(height: 8, width: 8, number: 0), view])
        await expectUnsuitable("9 channels", "takes 4") {
            _ = try await host.denoise(task, conditioning)
        }
        await expectUnsuitable("3 channels", "takes 4") {
            let tile = DecodeTask(index: 0, tile: Latent(zeros: 3, height: 8, width: 8))
            _ = try await host.compute(.decode(tile), conditioning: conditioning.fingerprint)
        }
    }

    @Test("a low band larger than the view is refused, and guidance that is no number")
    func lowBand() async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        func task(_ bands: BandSplit) -> DenoiseTask {
            DenoiseTask(
                index: 0, step: 0, timestep: 1, guidanceScale: 2, bandSplit: bands,
                views: [model.view(height: 8, width: 8, number: 0)])
        }
        let (whole, larger) = (Extent(height: 8, width: 8), Extent(height: 9, width: 8))
        await expectUnsuitable("8×9", "in a view of 8×8") {
            _ = try await host.denoise(task(BandSplit(highScale: 3, low: larger)), conditioning)
        }
        await expectUnsuitable("no finite number") {
            _ = try await host.denoise(task(BandSplit(highScale: .nan, low: whole)), conditioning)
        }
    }

    @Test("in two bands a prediction is guided by two weights, whichever of them is above 1")
    func bands() async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        let low = Extent(height: 4, width: 6)
        func predicted(_ scale: Double, high: Double?) async throws -> Latent {
            let task = DenoiseTask(
                index: 0, step: 0, timestep: 617, guidanceScale: scale,
                bandSplit: high.map { BandSplit(highScale: $0, low: low) },
                views: [model.view(height: 8, width: 12, number: 0)])
            return try await host.denoise(task, conditioning)[0]
        }
        let (once, twice) = try await (predicted(1, high: nil), predicted(2, high: nil))
        let negative = once.combined(with: twice) { 2 * $0 - $1 }
        for (scale, high) in [(2.0, 9.0), (1, 9), (9, 1), (2, 2)] {
            let expected = TaskGuidance(
                scale: scale, bands: BandSplit(highScale: high, low: low)
            ).combine(conditional: once, unconditional: negative)
            let found = try await predicted(scale, high: high)
            #expect(deviation(found.values, from: expected.values) < 1e-4, "\(scale), \(high)")
        }
    }

    @Test("items beyond the memory are refused before anything is computed")
    func memory() async throws {
        let model = try TinyModel.of(.tiny)
        let host = ModelHost(model: try model.on(testBackend, memoryLimit: 1e6))
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        _ = try await host.denoise(model.task([(8, 8)]), conditioning)
        await expectUnsuitable("300×200 latent pixels", "GiB") {
            _ = try await host.denoise(model.task([(8, 8), (200, 300)]), conditioning)
        }
        await expectUnsuitable("30×20 latent pixels", "GiB") {
            let tile = DecodeTask(index: 0, tile: Latent(zeros: 4, height: 20, width: 30))
            _ = try await host.compute(.decode(tile), conditioning: conditioning.fingerprint)
        }
    }

    @Test("texts of another model are refused")
    func foreignTexts() async throws {
        let model = try TinyModel.of(.tiny)
        let good = model.conditioning()
        func embedding(_ shape: Shape, pooled: Int?) -> PromptEmbedding {
            PromptEmbedding(
                hiddenStates: Tensor(zeros: shape), pooled: pooled.map { Tensor(zeros: Shape($0)) })
        }
        let width = model.folder.unet.crossAttentionWidth
        let pooled = good.prompt.pooled?.shape.count
        let wrong = [
            embedding(Shape(77, width + 1), pooled: pooled), embedding(Shape(77, width), pooled: 3),
            embedding(Shape(77, width), pooled: nil), embedding(Shape(0, width), pooled: pooled),
        ]
        for embedding in wrong {
            await expectUnsuitable("this model takes") {
                try await host(model).prepare(Conditioning(prompt: embedding, negative: embedding))
            }
        }
        await expectUnsuitable("as many tokens") {
            let short = embedding(Shape(50, width), pooled: pooled)
            try await host(model).prepare(Conditioning(prompt: good.prompt, negative: short))
        }
    }

    @Test("numbers that are not finite are refused, whether asked or answered")
    func notFinite() async throws {
        let model = try TinyModel.of(.tiny)
        let host = host(model)
        let conditioning = model.conditioning()
        try await host.prepare(conditioning)
        await expectUnsuitable("no finite number") {
            let task = DenoiseTask(
                index: 0, step: 0, timestep: .infinity, guidanceScale: 1,
                views: [model.view(height: 8, width: 8, number: 0)])
            _ = try await host.denoise(task, conditioning)
        }
        var poisoned = model.view(height: 8, width: 8, number: 0).sample
        poisoned.values[7] = .nan
        let view = ViewInput(
            sample: poisoned,
            microConditioning: MicroConditioning(timeIDs: [8, 8, 0, 0, 8, 8]))
        let failure = await #expect(throws: ComputeError.self) {
            let task = DenoiseTask(
                index: 4, step: 9, timestep: 10, guidanceScale: 1, views: [view])
            _ = try await host.denoise(task, conditioning)
        }
        #expect(failure?.description.contains("task 4 of step 9") == true)
        guard case .notFinite(index: 4, _)? = failure else {
            Issue.record("\(failure as (any Error)?)")
            return
        }
        await #expect(
            throws: ComputeError.notFinite(
                index: 7, "the autoencoder's answer holds infinities or NaN")
        ) {
            try await host.compute(
                .decode(DecodeTask(index: 7, tile: poisoned)),
                conditioning: conditioning.fingerprint)
        }
    }
}
