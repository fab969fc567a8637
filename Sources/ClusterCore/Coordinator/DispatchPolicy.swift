/// Who gets which task. Pure choices over what the coordinator knows; it carries them out.
enum DispatchPolicy {
    /// A worker that could be asked.
    struct Candidate: Hashable, Sendable {
        let peer: PeerID
        let worker: WorkerID
        let slots: Int
        /// Attempts in hand.
        var load: Int
        /// What one task takes it; nil while nothing is known of anybody.
        let taskTime: Duration?

        func hasCredit(_ limits: Limits) -> Bool { load < slots * limits.creditsPerSlot }
        var isIdle: Bool { load == 0 }

        /// How long until it would be done with one more task.
        fileprivate var finish: Duration? { taskTime.map { $0 * (load / slots + 1) } }

        /// Tasks it could finish in `time` beyond those in hand.
        fileprivate func capacity(within time: Duration) -> Int {
            guard let taskTime, taskTime > .zero else { return 0 }
            return max(0, Int(time / taskTime) * slots - load)
        }
    }

    /// The least loaded worker with credit, the fastest and then the longest joined among equals;
    /// never one that already holds the task, and one that failed it only when no other is left.
    /// Nil when waiting is better: a worker so slow that the others will have done all `waiting`
    /// tasks before it has done one would only keep the whole step waiting.
    ///
    /// Returns its place among the candidates.
    static func worker(
        avoiding failed: Set<PeerID>,
        holders: Set<PeerID>,
        among candidates: [Candidate],
        waiting: Int,
        limits: Limits
    ) -> Int? {
        let possible = candidates.indices.filter { !holders.contains(candidates[$0].peer) }
        let fresh = possible.filter { !failed.contains(candidates[$0].peer) }
        // However fast, one that may not have the task is not waited for.
        let eligible = fresh.isEmpty ? possible : fresh
        let others =
            eligible.count == candidates.count ? candidates : eligible.map { candidates[$0] }
        var willing = eligible.filter { candidates[$0].hasCredit(limits) }
        while let best = willing.min(by: { isLessLoaded(candidates[$0], candidates[$1]) }) {
            if isWorthIt(candidates[best], waiting: waiting, among: others) { return best }
            willing.removeAll { $0 == best }
        }
        return nil
    }

    private static func isLessLoaded(_ first: Candidate, _ second: Candidate) -> Bool {
        // Load per slot, compared without dividing.
        let (left, right) = (first.load * second.slots, second.load * first.slots)
        if left != right { return left < right }
        guard let a = first.taskTime, let b = second.taskTime else { return false }
        // Small differences are noise, and the longest joined is as good.
        return a * 5 < b * 4
    }

    /// Whether the worker would finish a task before the others have finished all that wait. The
    /// others are taken to be a quarter slower than they are, so that equals never wait for each
    /// other.
    private static func isWorthIt(
        _ candidate: Candidate, waiting: Int, among candidates: [Candidate]
    ) -> Bool {
        guard let finish = candidate.finish else { return true }
        var others = 0
        for other in candidates where other.peer != candidate.peer {
            others += other.capacity(within: finish * 3 / 4)
            if others >= waiting { return false }
        }
        return true
    }

    /// At the end of a batch: a worker that holds more than it runs, and an idle one that would
    /// be done sooner with what waits there.
    static func prefetchToRecall(
        among candidates: [Candidate]
    ) -> (holder: PeerID, idle: Candidate)? {
        guard let idle = fastestIdle(among: candidates),
            let holder = candidates.filter({ $0.load > $0.slots }).max(by: { $0.load < $1.load })
        else { return nil }
        if let time = idle.taskTime, let theirs = holder.taskTime,
            time >= theirs * (holder.load / holder.slots)
        {
            return nil
        }
        return (holder.peer, idle)
    }

    /// The idle worker that is likely to answer first.
    static func fastestIdle(among candidates: [Candidate]) -> Candidate? {
        candidates.filter(\.isIdle).min {
            guard let a = $0.taskTime, let b = $1.taskTime else { return false }
            return a < b
        }
    }
}
