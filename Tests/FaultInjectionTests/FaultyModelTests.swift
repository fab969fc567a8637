import Denoising
import FaultInjection
import Tensors
import TestSupport
import Testing

@Suite("A faulty model", .watched, .timeLimit(.minutes(10)))
struct FaultyModelTests {
    private let fingerprint = someConditioning.fingerprint

    private func values(_ answer: WorkAnswer) -> [Float] {
        guard case .denoise(let predictions) = answer else { return [] }
        return predictions.flatMap(\.values)
    }

    @Test("without a strike the answer is the model's own")
    func sound() async throws {
        let model = FaultyModel(DoublingModel(), injector: try injector("compute:nan@5"))
        try await model.prepare(someConditioning)
        let found = try await model.compute(item(3), conditioning: fingerprint)
        let expected = try await DoublingModel().compute(item(3), conditioning: fingerprint)
        #expect(found == expected)
    }

    @Test("values that are not finite appear in the asked computation only")
    func notFinite() async throws {
        let model = FaultyModel(
            DoublingModel(), injector: try injector("compute:nan@2;compute:inf@3"))
        var found: [[Float]] = []
        for index in 0..<4 {
            found.append(
                values(try await model.compute(item(index), conditioning: fingerprint)))
        }
        #expect(found[1][0].isNaN && found[2][0] == .infinity)
        #expect(found[0].allSatisfy(\.isFinite) && found[3].allSatisfy(\.isFinite))
    }

    @Test("pixels have no place for what is not finite: a tile fails as a model's does")
    func tiles() async throws {
        let injector = try injector("compute:nan")
        let model = FaultyModel(DoublingModel(), injector: injector)
        let tile = WorkItem.decode(
            DecodeTask(
                index: 3,
                tile: Latent(channels: 1, height: 1, width: 2, values: [1, 2])))
        await #expect(throws: ComputeError.notFinite(index: 3, "an injected nan")) {
            try await model.compute(tile, conditioning: fingerprint)
        }
        #expect(injector.counts[0].seen == 1 && injector.counts[0].injected == 1)
    }

    @Test("a failure and a forgotten conditioning are thrown before anything is computed")
    func failures() async throws {
        let base = DoublingModel()
        let model = FaultyModel(base, injector: try injector("compute:fail@1;compute:forget@2"))
        await #expect(throws: InjectedFailure.self) {
            try await model.compute(item(0), conditioning: fingerprint)
        }
        await #expect(throws: ComputeError.unknownConditioning(fingerprint)) {
            try await model.compute(item(0), conditioning: fingerprint)
        }
        #expect(base.computedCount == 0)
        _ = try await model.compute(item(0), conditioning: fingerprint)
        #expect(base.computedCount == 1)
    }

    @Test("a slow computation makes progress and gives the same answer")
    func slow() async throws {
        let model = FaultyModel(
            DoublingModel(), injector: try injector("compute:delay=120ms;compute:slow=3x"))
        let found = try await model.compute(item(3), conditioning: fingerprint)
        let expected = try await DoublingModel().compute(item(3), conditioning: fingerprint)
        #expect(found == expected)
        #expect(model.progress >= 2)
    }

    @Test("a hanging computation makes no progress, and cancelling does not help")
    func hang() async throws {
        let injector = try injector("compute:hang@1")
        let model = FaultyModel(DoublingModel(), injector: injector)
        let computation = Task { try await model.compute(item(0), conditioning: fingerprint) }
        computation.cancel()
        // The next one passes, so the first one hangs by then or has not begun.
        while injector.counts[0].injected == 0 { await Task.yield() }
        _ = try await model.compute(item(1), conditioning: fingerprint)
        #expect(model.progress == 0)
        let release = Task {
            while !Task.isCancelled {
                model.release()
                await Task.yield()
            }
        }
        _ = try await computation.value
        release.cancel()
    }
}
