package import ClusterCore

/// Is told everything that a coordinator decides, in order: what makes its run repeatable.
package protocol EventRecorder: Sendable {
    /// Before the first event.
    func begin(_ setup: CoordinatorSetup)

    /// What came in and what came out of it. Called under the coordinator's lock: it must not
    /// wait for anything.
    func record(_ event: CoordinatorEvent, _ effects: [CoordinatorEffect], at now: Instant)
}
