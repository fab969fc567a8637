package import Denoising
internal import Locking
internal import Synchronization
package import Tensors

/// A model whose computations are slow, hang, fail or give wrong values, as a ``FaultInjector``
/// says. Every computation counts, those that failed included.
package final class FaultyModel: ComputeModel {
    private let base: any ComputeModel
    private let injector: FaultInjector
    private let clock = ContinuousClock()
    private let ticks = Atomic<UInt64>(0)
    private let hung = Lock<[CheckedContinuation<Void, Never>]>([])

    /// A slow computation's progress is noted this often.
    private static let slice: Duration = .milliseconds(50)

    package init(_ base: any ComputeModel, injector: FaultInjector) {
        self.base = base
        self.injector = injector
    }

    /// Grows while a computation is slowed down, and stands still while one hangs: to be added to
    /// the model's own progress.
    package var progress: UInt64 { ticks.load(ordering: .relaxed) }

    package func prepare(_ conditioning: Conditioning) async throws {
        try await base.prepare(conditioning)
    }

    package func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer {
        let step = item.step
        let strikes = injector.next(.compute, step: step)
        for strike in strikes { try await before(strike, step: step, conditioning) }
        let start = clock.now
        var answer = try await base.compute(item, conditioning: conditioning)
        let took = clock.now - start
        for strike in strikes { try await after(strike, of: item, took: took, &answer) }
        return answer
    }

    private func before(
        _ strike: FaultPlan.Strike, step: Int?, _ conditioning: Fingerprint
    ) async throws {
        switch strike.action {
        case .abort, .kill:
            injector.did(strike, step: step)
            Death.endProcess(by: strike.action)
        case .hang(let time):
            injector.did(strike, step: step)
            if let time { try? await Task.sleep(for: time) } else { await hang() }
        case .delay:
            injector.did(strike, step: step)
            await pass(strike.delay)
        case .fail:
            injector.did(strike, step: step)
            throw InjectedFailure(ordinal: strike.ordinal)
        case .forget:
            injector.did(strike, step: step)
            throw ComputeError.unknownConditioning(conditioning)
        default: break
        }
    }

    private func after(
        _ strike: FaultPlan.Strike, of item: WorkItem, took: Duration, _ answer: inout WorkAnswer
    ) async throws {
        let step = item.step
        switch strike.action {
        case .slow(let factor):
            injector.did(strike, step: step)
            await pass(took * (factor - 1))
        case .notANumber, .infinity:
            injector.did(strike, step: step)
            let value = strike.action == .infinity ? Float.infinity : .nan
            guard let wrong = WrongAnswer.first(value, in: answer) else {
                // Pixels have no place for it: a model says so instead.
                throw ComputeError.notFinite(index: item.index, "an injected \(value)")
            }
            answer = wrong
        default: break
        }
    }

    /// Lets time pass as a slow machine does: with progress.
    private func pass(_ time: Duration) async {
        let end = clock.now + time
        while clock.now < end {
            let next = min(end, clock.now + Self.slice)
            guard (try? await clock.sleep(until: next)) != nil else { return }
            ticks.add(1, ordering: .relaxed)
        }
    }

    /// Not even cancelling helps, as with a hung kernel.
    private func hang() async {
        await withCheckedContinuation { continuation in
            hung.withLock { $0.append(continuation) }
        }
    }

    /// Lets all computations that hang go on: for tests that must end.
    package func release() {
        let waiting = hung.withLock { hung in
            defer { hung.removeAll() }
            return hung
        }
        for continuation in waiting { continuation.resume() }
    }
}

/// A computation was made to fail.
package struct InjectedFailure: Error, Hashable, CustomStringConvertible {
    package let ordinal: UInt64
    package var description: String { "an injected device error (computation \(ordinal))" }
}

extension WorkItem {
    /// The sampling step; nil for a tile.
    fileprivate var step: Int? {
        switch self {
        case .denoise(let task): task.step
        case .decode, .encode: nil
        }
    }
}
