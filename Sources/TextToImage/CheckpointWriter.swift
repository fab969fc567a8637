internal import Denoising
internal import Dispatch
internal import Locking

/// Writes states on a thread of its own, one at a time, so that nobody waits for a disk: while
/// one is written the newest of those that come waits, and older ones that waited are dropped.
final class CheckpointWriter: Sendable {
    enum Outcome: Sendable {
        case written
        /// Said to whom it concerns; a later state may do better.
        case failed
        /// Nothing may be written any more.
        case ended(CheckpointError)
    }

    fileprivate struct State {
        var waiting: DenoisingState?
        /// The newest one, when it could not be written.
        var unsaved: DenoisingState?
        var isWriting = false
        var end: CheckpointError?
        var settlers: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Lock(State())
    private let queue = DispatchQueue(label: "tessera.checkpoints")
    private let write: @Sendable (DenoisingState) -> Outcome

    init(write: @escaping @Sendable (DenoisingState) -> Outcome) { self.write = write }

    /// Takes a snapshot and returns at once. Throws what has ended the writing.
    func submit(_ snapshot: DenoisingState) throws(CheckpointError) {
        let (end, mustStart) = state.withLock { state -> (CheckpointError?, Bool) in
            guard state.end == nil else { return (state.end, false) }
            state.waiting = snapshot
            return (nil, state.start())
        }
        if let end { throw end }
        if mustStart { drainInBackground() }
    }

    /// Returns when nothing is being written and nothing waits; a state that could not be
    /// written gets another chance first. What waits is dropped instead when it is `wanted` no
    /// more. Not hurried by cancellation.
    func settle(wanted: Bool = true) async {
        await withCheckedContinuation { continuation in
            let (isIdle, mustStart) = state.withLock { state -> (Bool, Bool) in
                if !wanted { (state.waiting, state.unsaved) = (nil, nil) }
                if state.waiting == nil, state.end == nil { state.waiting = state.unsaved }
                let mustStart = state.waiting != nil && state.start()
                if state.isWriting { state.settlers.append(continuation) }
                return (!state.isWriting, mustStart)
            }
            if isIdle { continuation.resume() }
            if mustStart { drainInBackground() }
        }
    }

    private func drainInBackground() { queue.async { self.drain() } }

    private func drain() {
        while let snapshot = state.withLock({ $0.next() }) {
            let outcome = write(snapshot)
            state.withLock { $0.note(outcome, of: snapshot) }
        }
        let settlers = state.withLock { state in
            // Between the last look and this one something may have come.
            guard state.waiting == nil else { return [CheckedContinuation<Void, Never>]?.none }
            state.isWriting = false
            defer { state.settlers = [] }
            return state.settlers
        }
        guard let settlers else { return drain() }
        for settler in settlers { settler.resume() }
    }
}

extension CheckpointWriter.State {
    /// Whether the caller has to start the writing.
    fileprivate mutating func start() -> Bool {
        defer { isWriting = true }
        return !isWriting
    }

    fileprivate mutating func next() -> DenoisingState? {
        defer { waiting = nil }
        return end == nil ? waiting : nil
    }

    fileprivate mutating func note(
        _ outcome: CheckpointWriter.Outcome, of snapshot: DenoisingState
    ) {
        switch outcome {
        case .written: unsaved = nil
        case .failed: unsaved = snapshot
        case .ended(let error): end = error
        }
    }
}
