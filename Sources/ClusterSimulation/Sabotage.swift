/// Defects that can be planted into a run: what shows that the simulation would notice them.
package enum Sabotage: String, Hashable, Sendable, CaseIterable {
    /// The coordinator takes the duplicate of an answer as well.
    case acceptsTwice
    /// The answer of one task is taken for another's.
    case mixesAnswers
    /// A step begins before the last answer of the step before it is there.
    case startsEarly
    /// A submitted task never reaches the ledger.
    case losesTask
    /// Neither silence nor a broken connection is ever noticed, and leases do not run out.
    case noticesNothing
    /// A new life of the coordinator takes the number of the one before.
    case keepsEpoch
    /// Workers are given one attempt more than they may hold.
    case ignoresCredits
    /// Tasks go to workers that were never taken in.
    case trustsEverybody
    /// A frame damaged on its way is taken for a sound one.
    case ignoresChecksums
}
