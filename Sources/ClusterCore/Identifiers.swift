/// One life of the coordinator on its state: raised with every start, so that nothing said to an
/// earlier life is taken for the present one's.
package struct Epoch: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }
    package static func < (lhs: Epoch, rhs: Epoch) -> Bool { lhs.value < rhs.value }
    package var description: String { String(value) }
}

/// The line of a coordinator's lives on one state: epochs are compared within a realm only. Random
/// where the state is created, so that two coordinators never mean each other's lives.
package struct Realm: Hashable, Sendable, CustomStringConvertible {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }

    /// A realm that nobody else has, for a coordinator that keeps no state.
    package static func random() -> Realm { Realm(UInt64.random(in: 1...UInt64.max)) }

    /// Up to 16 hexadecimal digits.
    package var description: String { String(value, radix: 16) }
}

/// Which coordinator speaks, and in which of its lives. Within a realm a later life voids what an
/// earlier one said; between realms nothing follows.
package struct CoordinatorLife: Hashable, Codable, Sendable, CustomStringConvertible {
    package let realm: Realm
    package let epoch: Epoch

    package init(realm: Realm, epoch: Epoch) {
        self.realm = realm
        self.epoch = epoch
    }

    /// What a worker knows before its first welcome, and says until then.
    package static let unknown = CoordinatorLife(realm: Realm(0), epoch: Epoch(0))

    /// Whether this is an earlier life of the same coordinator: what it says is void.
    package func isVoid(before other: CoordinatorLife) -> Bool {
        realm == other.realm && epoch < other.epoch
    }

    /// `life 3 of 5f0c…`
    package var description: String { "life \(epoch) of \(realm)" }
}

/// One picture, or what of it is asked with one of its texts. Random, so that two coordinators never
/// mean different pictures by one number.
package struct JobID: Hashable, Sendable, CustomStringConvertible {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }

    /// Up to 16 hexadecimal digits.
    package var description: String { String(value, radix: 16) }
}

/// What a task asks for. The raw value travels.
package enum TaskKind: UInt8, Hashable, Codable, Sendable, CaseIterable {
    /// Views to noise predictions, guidance already combined.
    case denoise = 1
    /// A latent tile to RGB.
    case decode = 2
    /// RGB to a latent tile.
    case encode = 3
}

/// One pure question of a job: the same answer whoever computes it and however often.
package struct TaskID: Hashable, Codable, Sendable, CustomStringConvertible {
    package let job: JobID
    /// Number of the batch within the job: no late answer of one batch is taken for another's.
    package let round: UInt32
    /// Sampling step, for reports.
    package let step: UInt32
    /// Position within the batch, 0 ..< count.
    package let index: UInt32
    package let kind: TaskKind

    package init(job: JobID, round: UInt32, step: UInt32, index: UInt32, kind: TaskKind) {
        self.job = job
        self.round = round
        self.step = step
        self.index = index
        self.kind = kind
    }

    /// `denoise task 5 of step 3`
    package var description: String {
        switch kind {
        case .denoise: "denoise task \(index) of step \(step)"
        case .decode: "decode task \(index)"
        case .encode: "encode task \(index)"
        }
    }
}

/// One try at one task. An attempt is what travels.
package struct AttemptID: Hashable, Codable, Sendable, CustomStringConvertible {
    package let task: TaskID
    /// Counts the task's tries from 1.
    package let number: UInt32

    package init(task: TaskID, number: UInt32) {
        self.task = task
        self.number = number
    }

    package var description: String { "\(task), attempt \(number)" }
}

/// One life of one worker.
package struct WorkerID: Hashable, Codable, Sendable, CustomStringConvertible {
    /// What a person calls it; stable over restarts, not necessarily unique.
    package let name: String
    /// Random per process start.
    package let incarnation: UInt64

    package init(name: String, incarnation: UInt64) {
        self.name = name
        self.incarnation = incarnation
    }

    package var description: String { name }
}

/// The transport's address of a peer: a routing id, valid while its connection's owner lives.
package struct PeerID: Hashable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]
    package init(bytes: [UInt8]) { self.bytes = bytes }

    /// The first four bytes in hexadecimal: enough to tell peers apart in a log.
    package var description: String {
        bytes.prefix(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// Stable 64-bit digest of some content: weights or conditioning.
package struct ContentDigest: Hashable, Sendable, CustomStringConvertible {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }

    /// 16 lowercase hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Within one class, equal questions have bit-equal answers. Thread and process counts are not
/// part of it.
package struct MachineClass: Hashable, Codable, Sendable, CustomStringConvertible {
    /// `cpu`
    package let backend: String
    /// `avx512`, `avx2`, `scalar`
    package let instructionSet: String
    /// OpenBLAS' name of the kernels in use: `SkylakeX`
    package let blasCore: String
    /// `f32`
    package let precision: String

    package init(backend: String, instructionSet: String, blasCore: String, precision: String) {
        self.backend = backend
        self.instructionSet = instructionSet
        self.blasCore = blasCore
        self.precision = precision
    }

    /// `cpu/avx512/SkylakeX/f32`
    package var description: String { "\(backend)/\(instructionSet)/\(blasCore)/\(precision)" }
}

/// What must agree for two machines to work on one picture.
package struct ModelIdentity: Hashable, Codable, Sendable, CustomStringConvertible {
    package let weights: ContentDigest
    package let computeClass: MachineClass

    package init(weights: ContentDigest, computeClass: MachineClass) {
        self.weights = weights
        self.computeClass = computeClass
    }

    package var description: String { "weights \(weights) on \(computeClass)" }
}

/// A point on a monotonic clock, counted from a start that only its owner knows.
package struct Instant: Hashable, Comparable, Sendable {
    package let sinceStart: Duration
    package init(sinceStart: Duration) { self.sinceStart = sinceStart }

    package static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.sinceStart < rhs.sinceStart }
    package static func + (lhs: Instant, rhs: Duration) -> Instant {
        Instant(sinceStart: lhs.sinceStart + rhs)
    }
    package static func - (lhs: Instant, rhs: Instant) -> Duration {
        lhs.sinceStart - rhs.sinceStart
    }
}
