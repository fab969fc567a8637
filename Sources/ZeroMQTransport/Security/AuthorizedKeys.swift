internal import Locking

/// The keys that may come in: a folder's, looked at again while the coordinator runs, and some
/// that exist in memory only.
package final class AuthorizedKeys: Sendable {
    /// What holds at one moment.
    struct Snapshot: Sendable {
        var list: AllowList
        /// The folder could not be read: nobody new comes in, and whoever is in stays.
        var isUnreadable = false
    }

    private struct State {
        var snapshot: Snapshot
        var signature: AuthorizedFolder.Signature?
    }

    private let folder: AuthorizedFolder?
    private let extra: [AuthorizedKey]
    private let state: Lock<State>
    /// What was wrong with single files when the coordinator started.
    package let problems: [String]

    /// Throws ``KeyFileError`` when the folder is missing, unreadable, or others may write to it.
    package init(
        folder: AuthorizedFolder?, extra: [AuthorizedKey] = []
    ) throws(KeyFileError) {
        self.folder = folder
        self.extra = extra
        let signature = try folder?.signature()
        let (keys, problems) = try Self.read(folder)
        self.problems = problems
        state = Lock(State(snapshot: .init(list: AllowList(keys + extra)), signature: signature))
    }

    private static func read(
        _ folder: AuthorizedFolder?
    ) throws(KeyFileError) -> (keys: [AuthorizedKey], problems: [String]) {
        var (keys, problems): ([AuthorizedKey], [String]) = ([], [])
        for entry in try folder?.entries() ?? [] {
            switch entry.content {
            case .success(let key): keys.append(key)
            case .failure(let problem):
                problems.append("\(entry.file) authorises nobody: it \(problem)")
            }
        }
        return (keys, problems)
    }

    /// Whether there is anything that can change.
    var isFixed: Bool { folder == nil }

    var snapshot: Snapshot { state.withLock { $0.snapshot } }

    /// Looks at the folder and reads it if it changed. Returns what a person should know; nil
    /// when nothing changed. Slow when the disk is; never under a lock that others wait for.
    func refresh() -> [String]? {
        guard let folder else { return nil }
        do throws(KeyFileError) {
            let signature = try folder.signature()
            let known = state.withLock { ($0.signature, $0.snapshot.isUnreadable) }
            if signature == known.0, !known.1 { return nil }
            let (keys, problems) = try Self.read(folder)
            let list = AllowList(keys + extra)
            let old = state.withLock { state in
                defer { state = State(snapshot: .init(list: list), signature: signature) }
                return state.snapshot.list
            }
            let (before, after) = (old.keys, list.keys)
            return [
                "\(folder.path) was read again: \(after.count) authorised keys, "
                    + "\(after.subtracting(before).count) new, "
                    + "\(before.subtracting(after).count) revoked"
            ] + problems
        } catch {
            let isNews = state.withLock { state in
                defer { state.snapshot.isUnreadable = true }
                return !state.snapshot.isUnreadable
            }
            return isNews ? ["no new worker is let in: \(error)"] : nil
        }
    }
}
