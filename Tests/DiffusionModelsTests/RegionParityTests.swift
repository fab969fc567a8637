import Denoising
import Sampling
import Tensors
import TestSupport
import Testing

@testable import DiffusionModels

/// Whole runs of MultiDiffusion on the model that ships, against loops over diffusers' network and
/// scheduler that ask every window with every prompt; see make_region_fixtures.py.
@Suite("Parity of regions and panoramas with diffusers", .watched)
struct RegionParityTests {
    private static let regions = [
        (Rectangle(x: 0, y: 0, width: 144, height: 256), "a night sky with stars and a full moon"),
        (Rectangle(x: 80, y: 32, width: 176, height: 136), "a green meadow at noon"),
    ]

    private func plan(
        height: Int, for folder: ModelFolder, _ change: (inout PlanRequest) -> Void
    ) throws -> DenoisingPlan {
        let geometry = ModelGeometry(
            nativeSide: folder.nativeLatentSide, scaleFactor: folder.vae.scaleFactor,
            channels: folder.vae.latentChannels,
            sizeMultiple: 1 << (folder.unet.blockOutChannels.count - 1))
        var request = PlanRequest(
            height: height, width: 256, model: geometry,
            sampler: Sampler(name: "ddim", configuration: folder.scheduler), steps: 6, seed: 7,
            guidanceScale: 3, viewsPerTask: 4)
        change(&request)
        return try MultiDiffusionMethod().plan(for: request)
    }

    /// The largest difference, in the reference's standard deviations.
    private func deviation(
        from name: String, height: Int, _ texts: [String] = [],
        _ change: (inout PlanRequest) -> Void
    ) async throws -> Double {
        let model = try #require(ParityCase.all.first { $0.name == "default" })
        let (loaded, _) = try ParityModel.of(model)
        let golden = try Golden("regions")
        #expect(
            try golden["probe"].elements == Golden(model.name)["probe"].elements,
            "other weights than the goldens were made of: run make_region_fixtures.py again")
        let plan = try plan(height: height, for: loaded.folder, change)
        let (conditionings, _) = loaded.prompts.encode(
            prompt: model.prompt, regions: texts, negativePrompt: nil)
        let host = ModelHost(model: loaded.loaded)
        for conditioning in conditionings { try await host.prepare(conditioning) }
        let loop = DenoisingLoop(plan: plan, conditionings: conditionings)
        let noise = InitialNoise.native.latent(
            channels: 4, height: plan.noise.height, width: plan.noise.width,
            seed: plan.request.seed)
        let latent = try await loop.run(
            from: loop.initialState(noise: noise), with: OneByOne(host: host))
        return Double(
            DiffusionModelsTests.deviation(latent.values, from: try golden[name].elements))
    }

    @Test("regions that overlap lie within 1e-3 of the reference's standard deviation")
    func regions() async throws {
        let deviation = try await deviation(
            from: "regions", height: 256, Self.regions.map(\.1)
        ) {
            $0.regions = Self.regions.map(\.0)
            $0.jitter = true
        }
        #expect(deviation < 1e-3)
    }

    @Test("a panorama lies within 1e-3 of the reference's standard deviation")
    func panorama() async throws {
        #expect(try await deviation(from: "panorama", height: 128) { $0.panorama = true } < 1e-3)
    }
}
