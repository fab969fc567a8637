/// Who gets which task. Pure choices over what the coordinator knows; it carries them out.
enum DispatchPolicy {
    /// A worker that could be asked.
    struct Candidate: Hashable, Sendable {
        let peer: PeerID
        let worker: WorkerID
        let slots: Int
        /// Attempts in hand.
        let load: Int

        func hasCredit(_ limits: Limits) -> Bool { load < slots * limits.creditsPerSlot }
        var isIdle: Bool { load == 0 }
    }

    /// The least loaded worker with credit, the longest joined among equals; never one that
    /// already holds the task, and one that failed it only when no other is left.
    static func worker(
        avoiding failed: Set<WorkerID>,
        holders: Set<PeerID>,
        among candidates: [Candidate],
        limits: Limits
    ) -> PeerID? {
        let possible = candidates.filter { !holders.contains($0.peer) }
        let fresh = possible.filter { !failed.contains($0.worker) }
        return leastLoaded(fresh.isEmpty ? possible : fresh, limits: limits)
    }

    private static func leastLoaded(_ candidates: [Candidate], limits: Limits) -> PeerID? {
        var best: Candidate?
        for candidate in candidates where candidate.hasCredit(limits) {
            // Load per slot, compared without dividing.
            if let found = best, candidate.load * found.slots >= found.load * candidate.slots {
                continue
            }
            best = candidate
        }
        return best?.peer
    }

    /// At the end of a batch: a worker that holds more than it runs, while another is idle.
    static func prefetchToRecall(among candidates: [Candidate]) -> PeerID? {
        guard candidates.contains(where: \.isIdle) else { return nil }
        return candidates.filter { $0.load > $0.slots }.max { $0.load < $1.load }?.peer
    }
}
