/// What a coordinator has counted in its life: what faults did, and what was done about them.
package struct ClusterCounters: Hashable, Codable, Sendable {
    /// Answers that became part of a job.
    package var accepted = 0
    /// Answers to questions that had theirs, or that nobody asks any more.
    package var stale = 0
    /// Answers that were not finite, not of the asked shape, or not the known one.
    package var unsound = 0
    /// Messages that did not decode, or that a worker never sends.
    package var malformed = 0
    /// Attempts that ended with a failure that counts against their task.
    package var failed = 0
    /// Attempts sent again because their message or their answer got lost.
    package var resent = 0
    /// Leases that ran out.
    package var expired = 0
    /// Attempts copied to a second worker.
    package var copied = 0
    /// Prefetched attempts moved to an idle worker.
    package var recalled = 0
    /// Answers that a second worker confirmed.
    package var confirmed = 0
    /// Answers that should have been confirmed and could not be: nobody else was there.
    package var unconfirmed = 0
    /// Answers that two others outvoted.
    package var outvoted = 0
    /// Workers taken in, one for each session.
    package var joined = 0
    /// Workers lost without a goodbye.
    package var lost = 0
    /// Workers turned away.
    package var rejected = 0
    /// Times a worker was left alone for a while.
    package var quarantined = 0

    package init() {}
}
