internal import ClusterCore
internal import Locking

/// Answers the door by the list of authorised keys, and remembers what it answered: the shared
/// ground of the thread at the door and the poll thread.
final class Doorkeeper: Sendable {
    private struct State {
        /// Keys that were let in once: refused later, they were revoked.
        var admitted: Set<CurvePublicKey> = []
        var refused: [RefusalReason: Int] = [:]
        var notices: [String] = []
        /// Counts changes of the list.
        var revision = 0
    }

    /// Nil: plaintext, and everyone may come in.
    private let keys: AuthorizedKeys?
    private let state = Lock(State())

    init(keys: AuthorizedKeys?) { self.keys = keys }

    /// Whether messages must bear the key that their connection was let in with.
    var wantsKeys: Bool { keys != nil }

    /// Whether the folder has to be looked at now and then.
    var hasToRefresh: Bool { keys.map { !$0.isFixed } ?? false }

    func answer(_ request: ZAPRequest, at now: UnixTime) -> ZAPReply {
        guard request.domain == ZAPRequest.domain else { return .denied }
        guard let keys else { return request.mechanism == "NULL" ? .welcome(userID: "") : .denied }
        guard let key = request.key else { return refuse(.noKey) }
        let snapshot = keys.snapshot
        if snapshot.isUnreadable {
            _ = refuse(.listUnreadable)
            return .failed
        }
        switch snapshot.list.verdict(on: key, at: now) {
        case .admitted:
            state.withLock { _ = $0.admitted.insert(key) }
            return .welcome(userID: "\(key)")
        case .expired: return refuse(.expiredKey)
        case .unknown:
            let wasIn = state.withLock { $0.admitted.contains(key) }
            return refuse(wasIn ? .revokedKey : .unknownKey)
        }
    }

    private func refuse(_ reason: RefusalReason) -> ZAPReply {
        state.withLock { $0.refused[reason, default: 0] += 1 }
        return .denied
    }

    /// True when the list changed.
    func refresh() -> Bool {
        guard let notices = keys?.refresh() else { return false }
        state.withLock { state in
            state.revision += 1
            state.notices += notices
        }
        return true
    }

    /// The user ids that may speak, when the list changed since `revision`.
    func permitted(since revision: inout Int) -> Set<String>? {
        let current = state.withLock { $0.revision }
        guard let keys, current != revision else { return nil }
        revision = current
        return Set(keys.snapshot.list.keys.map(\.description))
    }

    /// What was refused and what is to be told since the last call.
    func takeNews() -> (refused: [RefusalReason: Int], notices: [String]) {
        state.withLock { state in
            defer { (state.refused, state.notices) = ([:], []) }
            return (state.refused, state.notices)
        }
    }
}
