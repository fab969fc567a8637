/// Holds back whoever comes until it is opened, and tells of the first.
package final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var hasArrived = false
    }

    private let state = Watched(State())

    package init() {}

    /// Returns once the gate is open. Throws `CancellationError`.
    package func pass() async throws {
        state.change { $0.hasArrived = true }
        try await state.wait(until: \.isOpen)
    }

    /// Returns once somebody has come. Throws `CancellationError`.
    package func arrival() async throws { try await state.wait(until: \.hasArrived) }

    package func open() { state.change { $0.isOpen = true } }
}
