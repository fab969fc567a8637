import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// A whole run of a method on the model that ships, against a loop over diffusers' network and
/// scheduler that was written from the papers' formulas; see make_method_fixtures.py.
@Suite("Parity of whole methods with diffusers", .watched)
struct MethodParityTests {
    @Test(
        "the final latent lies within 1e-3 of the reference's standard deviation",
        arguments: [
            ("demofusion", 6), ("scalediff", 10), ("rectifiedhr", 10), ("diffusehigh", 10),
            ("frecas", 10),
        ])
    func finalLatent(method: String, steps: Int) async throws {
        let model = try #require(ParityCase.all.first { $0.name == "default" })
        let (loaded, _) = try ParityModel.of(model)
        let golden = try Golden("methods")
        #expect(
            try golden["probe"].elements == Golden(model.name)["probe"].elements,
            "other weights than the goldens were made of: run make_method_fixtures.py again")
        let plan = try plan(method, steps: steps, for: loaded.folder)
        let conditioning = loaded.prompts.encode(prompt: model.prompt, negativePrompt: nil)
            .conditioning
        let host = ModelHost(model: loaded.loaded)
        try await host.prepare(conditioning)
        let loop = DenoisingLoop(plan: plan, conditionings: [conditioning])
        let noise = InitialNoise.native.latent(
            channels: 4, height: plan.noise.height, width: plan.noise.width,
            seed: plan.request.seed)
        let latent = try await loop.run(
            from: loop.initialState(noise: noise), with: OneByOne(host: host))
        let deviation = deviation(latent.values, from: try golden[method].elements)
        #expect(deviation < 1e-3)
    }

    private func plan(
        _ method: String, steps: Int, for folder: ModelFolder
    ) throws -> DenoisingPlan {
        let geometry = ModelGeometry(
            nativeSide: folder.nativeLatentSide, scaleFactor: folder.vae.scaleFactor,
            channels: folder.vae.latentChannels,
            sizeMultiple: 1 << (folder.unet.blockOutChannels.count - 1))
        let side = 2 * geometry.nativePixels
        return try DenoisingMethods.method(named: method).plan(
            for: PlanRequest(
                height: side, width: side, model: geometry,
                sampler: Sampler(name: "ddim", configuration: folder.scheduler), steps: steps,
                seed: 7, guidanceScale: 3, viewsPerTask: 4))
    }
}

/// Computes one task after the other.
struct OneByOne: TaskExecutor {
    let host: ModelHost

    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        for position in 0..<items.count {
            let item = items[position]
            let answer = try await host.compute(
                item, conditioning: conditionings[item.conditioning].fingerprint)
            try await deliver(position, answer)
        }
    }
}
