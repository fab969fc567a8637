package import ClusterCore
package import Denoising
package import Tensors

/// What every message carries, whatever it says.
package struct WireHeader: Hashable, Sendable {
    /// Counts the sender's messages from 1.
    package let sequence: UInt64
    /// The coordinator's life; unknown from a worker that was not welcomed yet.
    package let life: CoordinatorLife
    /// The worker's life; 0 from a coordinator.
    package let incarnation: UInt64

    package init(sequence: UInt64, life: CoordinatorLife, incarnation: UInt64) {
        self.sequence = sequence
        self.life = life
        self.incarnation = incarnation
    }
}

/// Every message of the protocol with everything in it.
package enum WireMessage: Equatable, Sendable {
    /// The incarnation is the header's.
    case hello(Hello)
    case welcome(Welcome)
    case reject(Rejection)
    case openJob(JobID, conditioning: ContentDigest)
    case assetRequest(ContentDigest)
    /// Decoding checks that the content has its fingerprint.
    case asset(Conditioning)
    case jobReady(JobID, problem: String?)
    case closeJob(JobID)
    case task(AttemptID, WorkItem, conditioning: ContentDigest)
    /// `question` is ``WorkItem/fingerprint`` of what was answered, 0 from a worker of wire version
    /// 1.0: an answer under another question's name is told from the right one by it.
    case result(AttemptID, WorkAnswer, question: ContentDigest, computeTime: Duration)
    case failure(AttemptID, TaskFailure)
    case cancel(AttemptID)
    case heartbeat(Heartbeat)
    case heartbeatAck(UInt64)
    case goodbye(GoodbyeReason)
    case drain
    case controlRequest(ControlRequest)
    case controlReply(ControlReply)
}

extension ContentDigest {
    /// The same digest as the engine knows it.
    package init(_ fingerprint: Fingerprint) { self.init(fingerprint.value) }
}

extension Fingerprint {
    /// The same digest as the cluster knows it.
    package init(_ digest: ContentDigest) { self.init(value: digest.value) }
}
