/// What happens to a worker's session; for whoever runs it.
package enum WorkerNews: Hashable, Sendable, CustomStringConvertible {
    /// A coordinator took it in.
    case joined
    /// Nothing was heard from the coordinator for this long; it is looked for again.
    case coordinatorSilent(Duration)
    /// The coordinator went, and said that it would be back.
    case coordinatorReturning
    /// The coordinator was started again, or had given this worker up; it is greeted anew.
    case forgotten
    /// So many computations are finished before it leaves.
    case draining(tasks: Int)

    package var description: String {
        switch self {
        case .joined: "joined"
        case .coordinatorSilent(let time):
            "the coordinator has been silent for \(time.components.seconds) s; looking for it again"
        case .coordinatorReturning: "the coordinator goes and will be back; waiting for it"
        case .forgotten: "the coordinator does not know this worker any more; joining again"
        case .draining(let tasks):
            "finishing \(tasks) \(tasks == 1 ? "task" : "tasks"), then leaving"
        }
    }
}
