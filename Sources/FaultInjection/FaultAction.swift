/// What is done.
package enum FaultAction: Hashable, Sendable {
    /// The message never arrives.
    case drop
    /// The message arrives twice.
    case duplicate
    /// The message, or the computation, is late by a time drawn from the range; what was sent
    /// after the message overtakes it.
    case delay(ClosedRange<Duration>)
    /// One bit is flipped after the checksums were made.
    case corrupt
    /// The answer is the one of the task before, under this task's name.
    case swap
    /// The answer lacks a row.
    case shape
    /// The answer's values stand in reverse order, with valid checksums: wrong, but with the same
    /// statistics, as bad memory or a wrong library gives.
    case lie
    /// The computation never returns, or only after a time.
    case hang(Duration?)
    /// The computation takes so many times as long.
    case slow(Double)
    /// The write takes so much longer.
    case pause(Duration)
    /// The answer holds values that are not finite; of a tile that is a failure that says so.
    case notANumber
    case infinity
    /// The computation fails, as with a device error.
    case fail
    /// The model has forgotten its conditioning, as one does that needs room.
    case forget
    /// The process ends by abort(3), as after a failed assertion of a library.
    case abort
    /// The process ends by SIGKILL, as when the kernel is out of memory.
    case kill
    /// The write fails: no space left on the device.
    case noSpace
    /// The write fails: input/output error.
    case ioError

    /// An action's word and what may stand behind its equals sign.
    package enum Name: String, Hashable, Sendable, CaseIterable {
        case drop, dup, delay, corrupt, swap, shape, lie, hang, slow, nan, inf, fail, forget
        case abort, kill, enospc, eio

        /// Other spellings that are understood.
        private static let aliases: [String: Name] = [
            "crash": .abort, "duplicate": .dup, "flip": .corrupt, "error": .fail,
        ]

        package init?(named name: String) {
            guard let name = Name(rawValue: name) ?? Self.aliases[name] else { return nil }
            self = name
        }

        /// What can be done to a family of targets.
        package static func possible(for family: FaultTarget.Family) -> [Name] {
            switch family {
            case .message: [.drop, .dup, .delay, .corrupt]
            case .answer: [.drop, .dup, .delay, .corrupt, .swap, .shape, .lie]
            case .compute:
                [.hang, .slow, .delay, .nan, .inf, .fail, .forget, .abort, .kill]
            case .checkpoint: [.enospc, .eio, .slow, .abort, .kill]
            case .milestone: [.abort, .kill]
            }
        }
    }

    package var name: Name {
        switch self {
        case .drop: .drop
        case .duplicate: .dup
        case .delay: .delay
        case .corrupt: .corrupt
        case .swap: .swap
        case .shape: .shape
        case .lie: .lie
        case .hang: .hang
        case .slow, .pause: .slow
        case .notANumber: .nan
        case .infinity: .inf
        case .fail: .fail
        case .forget: .forget
        case .abort: .abort
        case .kill: .kill
        case .noSpace: .enospc
        case .ioError: .eio
        }
    }

    /// What stands behind the equals sign, in the form that is parsed; nil when nothing does.
    package var valueText: String? {
        switch self {
        case .delay(let range): FaultText.text(of: range)
        case .hang(let time): time.map { FaultText.text(of: $0) }
        case .slow(let factor): FaultText.text(of: factor) + "x"
        case .pause(let time): FaultText.text(of: time)
        default: nil
        }
    }
}
