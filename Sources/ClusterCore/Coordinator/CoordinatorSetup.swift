/// All that a coordinator's decisions depend on beside its events: with these and the events, the
/// decisions can be made again.
package struct CoordinatorSetup: Hashable, Codable, Sendable {
    package let expected: ModelIdentity
    package let life: CoordinatorLife
    /// The program's version, told to workers.
    package let version: String
    package let limits: Limits
    package let confirmation: Confirmation

    package init(
        expected: ModelIdentity,
        life: CoordinatorLife,
        version: String,
        limits: Limits,
        confirmation: Confirmation = .none
    ) {
        self.expected = expected
        self.life = life
        self.version = version
        self.limits = limits
        self.confirmation = confirmation
    }
}
