internal import OrderedCollections

/// The roster for people.
extension CoordinatorState {
    /// The workers, in the order they joined.
    package func workers(at now: Instant) -> [WorkerStatus] {
        roster.all.values.map { record in
            WorkerStatus(
                name: record.id.name,
                activity: record.activity,
                attemptsInHand: record.leases.count,
                denoiseTime: record.speeds[.denoise]?.time ?? .zero,
                decodeTime: record.speeds[.decode]?.time ?? .zero,
                quarantine: max(.zero, record.quarantinedUntil.map { $0 - now } ?? .zero),
                quarantines: histories[record.id.name].quarantines)
        }
    }

    /// Who is to be asked when the worker `name` shall leave: all of that name, for machines may
    /// have been given one name.
    package func peers(named name: String) -> [PeerID] {
        roster.peers.filter { roster[$0]?.id.name == name }
    }
}

extension WorkerRecord {
    fileprivate var activity: WorkerActivity {
        if isDraining { return .leaving }
        if quarantinedUntil != nil { return .quarantined }
        if isSuspect { return .silent }
        return leases.isEmpty ? .idle : .working
    }
}
