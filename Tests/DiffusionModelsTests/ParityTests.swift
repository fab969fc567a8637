import ComputeBackends
import Denoising
import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// One model with what diffusers made of it; see make_fixtures.py.
struct ParityCase: Sendable, CustomTestStringConvertible {
    let name: String
    /// Nil for the model that ships with the program.
    let preset: ModelPreset?
    let prompt: String
    let negativePrompt: String?

    var testDescription: String { name }

    static let all = [
        ParityCase(
            name: "default", preset: nil, prompt: "a mountain range at sunset above a lake",
            negativePrompt: nil),
        ParityCase(
            name: "tiny", preset: .tiny, prompt: "the sun and the lake, it's late!",
            negativePrompt: "rain and an old man's hat"),
        ParityCase(
            name: "tiny-sd15", preset: .tinySD15, prompt: "on the lake, the moon",
            negativePrompt: nil),
    ]
}

/// A model opened and loaded once for all tests of its case.
struct ParityModel: Sendable {
    let folder: ModelFolder
    let prompts: PromptEncoder
    let loaded: LoadedModel
    let tokenizers: [BPETokenizer]

    init(_ model: ParityCase) throws {
        var path = URL(fileURLWithPath: Golden.folder).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources/DefaultModel/Model").path
        // The files may go once they are mapped and the tokenizers read.
        let scratch = try TemporaryFolder()
        if let preset = model.preset {
            try ModelSynthesizer(preset: preset).write(to: scratch.path)
            path = scratch.path
        }
        folder = try ModelFolder(path: path)
        prompts = try PromptEncoder(model: folder, backend: testBackend)
        loaded = try LoadedModel(folder: folder, backend: testBackend)
        tokenizers = try folder.textEncoders.map { try BPETokenizer(folder: $0.tokenizerFolder) }
    }

    private static let cache = Dictionary(
        uniqueKeysWithValues: ParityCase.all.map { model in
            (model.name, Result { try ParityModel(model) })
        })

    static func of(_ model: ParityCase) throws -> (ParityModel, Golden) {
        let loaded = try #require(cache[model.name]).get()
        let golden = try Golden(model.name)
        #expect(
            try loaded.probe() == golden["probe"].elements,
            "other weights than the goldens were made of: run make_fixtures.py again")
        return (loaded, golden)
    }

    /// The values that make_fixtures.py takes as probes.
    private func probe() throws -> [Float] {
        var values: [Float] = []
        for store in [folder.unetWeights, folder.vaeWeights, folder.textEncoders[0].weights] {
            for (index, name) in store.names.enumerated() where index % 7 == 0 {
                let shape = try #require(store.shape(of: name))
                values.append(try store.tensor(name, shape: shape).elements[0])
            }
        }
        return values
    }
}

/// Everything within 1e-3 of the reference's standard deviation.
@Suite("Parity with diffusers", .watched)
struct ParityTests {
    private static let tolerance = 1e-3

    private func conditioning(_ model: ParityCase, _ loaded: ParityModel) -> Conditioning {
        loaded.prompts.encode(prompt: model.prompt, negativePrompt: model.negativePrompt)
            .conditioning
    }

    @Test("token ids and text embeddings", arguments: ParityCase.all)
    func text(_ model: ParityCase) throws {
        let (loaded, golden) = try ParityModel.of(model)
        for (tokenizer, name) in zip(loaded.tokenizers, ["ids", "ids_2"]) {
            let ids = tokenizer.tokenize(model.prompt, length: 77).ids
            #expect(try golden[name].elements == ids.map(Float.init))
        }
        let conditioning = conditioning(model, loaded)
        for (embedding, name) in [
            (conditioning.prompt, "prompt"), (conditioning.negative, "negative"),
        ] {
            let hidden = try golden["\(name).hidden"]
            #expect(embedding.hiddenStates.shape == hidden.shape)
            check(embedding.hiddenStates.elements, hidden, "\(name) hidden states")
            #expect((embedding.pooled != nil) == golden.has("\(name).pooled"))
            if let pooled = embedding.pooled {
                check(pooled.elements, try golden["\(name).pooled"], "\(name) pooled")
            }
        }
    }

    @Test("the network's output at three timesteps", arguments: ParityCase.all)
    func unet(_ model: ParityCase) throws {
        let (loaded, golden) = try ParityModel.of(model)
        let texts = try loaded.loaded.texts(conditioning(model, loaded))
        let side = loaded.folder.nativeSide
        let view = ViewInput(
            sample: try golden.latent("latents"),
            microConditioning: MicroConditioning(
                originalHeight: side * 2, originalWidth: side * 3, cropTop: side / 4,
                cropLeft: side / 2, targetHeight: side, targetWidth: side + 8))
        for timestep in [999, 501, 21] {
            let task = DenoiseTask(
                index: 0, step: 0, timestep: Double(timestep), guidanceScale: 1, views: [view])
            let answer = try loaded.loaded.denoise(task, texts: texts)
            check(answer[0].values, try golden["unet.\(timestep)"], "timestep \(timestep)")
        }
    }

    @Test("the decoded picture", arguments: ParityCase.all)
    func picture(_ model: ParityCase) throws {
        let (loaded, golden) = try ParityModel.of(model)
        let latent = try golden.latent("latents")
        let scaled = latent.mapValues { $0 / Float(loaded.folder.vae.scalingFactor) }
        let input = testBackend.channelsLast(
            DeviceTensor(Tensor(shape: scaled.shape, elements: scaled.values)))
        let picture = loaded.loaded.decoder.decode(input, on: testBackend)
        let (elements, width) = (picture.elements, picture.width)
        var halved: [Float] = []
        for channel in 0..<3 {
            for row in stride(from: 0, to: picture.height, by: 2) {
                for column in stride(from: 0, to: width, by: 2) {
                    halved.append(elements[(row * width + column) * 3 + channel])
                }
            }
        }
        check(halved, try golden["picture"], "picture")
    }

    @Test(
        "a run of 20 steps at native size from given noise", arguments: ParityCase.all,
        ["euler", "ddim"])
    func run(_ model: ParityCase, _ scheduler: String) async throws {
        let (loaded, golden) = try ParityModel.of(model)
        let latent = try await denoise(
            model, loaded, scheduler: scheduler, from: golden.latent("latents"))
        check(latent.values, try golden["run.\(scheduler)"], scheduler)
    }

    @Test("a run from the noise that PyTorch draws on a CPU", arguments: ParityCase.all)
    func seededRun(_ model: ParityCase) async throws {
        let (loaded, golden) = try ParityModel.of(model)
        let side = loaded.folder.nativeLatentSide
        let noise = InitialNoise.torchCPU.latent(channels: 4, height: side, width: side, seed: 7)
        let latent = try await denoise(model, loaded, scheduler: "euler", from: noise)
        check(latent.values, try golden["run.seed"], "seed 7")
    }

    /// The plainest sampling loop there is: one view, the whole latent.
    private func denoise(
        _ model: ParityCase, _ loaded: ParityModel, scheduler name: String, from noise: Latent
    ) async throws -> Latent {
        let configuration = loaded.folder.scheduler
        var scheduler = try Schedulers.entry(named: name, configuration: configuration)
            .makeScheduler(configuration: configuration, steps: 20)
        let conditioning = conditioning(model, loaded)
        let host = ModelHost(model: loaded.loaded)
        try await host.prepare(conditioning)
        let side = loaded.folder.nativeSide
        let whole = MicroConditioning(
            originalHeight: side, originalWidth: side, cropTop: 0, cropLeft: 0,
            targetHeight: side, targetWidth: side)
        var latent = noise.mapValues { $0 * Float(scheduler.initialNoiseSigma) }
        for (index, timestep) in scheduler.timesteps.enumerated() {
            let input = scheduler.scaledModelInput(latent, at: StepIndex(index))
            let task = DenoiseTask(
                index: 0, step: index, timestep: timestep.value, guidanceScale: 3,
                views: [ViewInput(sample: input, microConditioning: whole)])
            let answer = try await host.compute(
                .denoise(task), conditioning: conditioning.fingerprint)
            guard case .denoise(let predictions) = answer else {
                Issue.record("another kind of answer")
                return latent
            }
            latent = scheduler.step(
                prediction: predictions[0], sample: latent, at: StepIndex(index))
        }
        return latent
    }

    private func check(
        _ found: [Float], _ reference: Tensor, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard reference.elements.contains(where: { $0 != 0 }) else {
            #expect(found == reference.elements, "\(what)", sourceLocation: sourceLocation)
            return
        }
        let deviation = deviation(found, from: reference.elements)
        #expect(deviation < Self.tolerance, "\(what)", sourceLocation: sourceLocation)
    }
}
