internal import ClusterCore

/// How a worker's dialling goes, as a value: when silence means that the connection leads nowhere,
/// and when a refusal is final.
struct DialRecord: Sendable {
    /// What became of a handshake.
    enum Handshake: Hashable, Sendable {
        case succeeded
        /// The coordinator does not authorise the key.
        case keyRefused
        /// One end encrypts and the other does not.
        case mismatched
        /// One end did not understand the other.
        case garbled
        /// It broke off.
        case failed

        /// Whether libzmq gives the connection up then, for good and without a word.
        var isGivenUp: Bool {
            switch self {
            case .keyRefused, .mismatched, .garbled: true
            case .succeeded, .failed: false
            }
        }
    }

    /// What is to be done.
    enum Verdict: Equatable {
        case fail(TransportError)
        case tell(String)
        /// Ask whoever listens how it wants to speak, and come back with ``learned(_:)``.
        case askMechanism
    }

    /// A refusal may be a folder in the middle of being edited.
    private static let refusalsBelieved = 3
    /// A connection that breaks off may be a tunnel or a load balancer with nothing behind it
    /// yet, so it takes longer to be believed: with the back-off about half a minute.
    private static let failuresBelieved = 12
    private static let failuresTold = 3
    private static let failuresAsked = 2
    /// How soon to dial again where libzmq does not; doubled each time up to the longest.
    private static let (shortestWait, longestWait): (Duration, Duration) = (
        .milliseconds(250), .seconds(5)
    )

    private let endpoint: String
    private let encrypts: Bool
    private let silenceLimit: Duration
    private var counts: [Handshake: Int] = [:]
    private var everSucceeded = false
    /// While connected: when the handshake was, or the last message came.
    private var lastSign: ContinuousClock.Instant?
    private var hasHeard = false
    /// When to dial because libzmq does not, or not as it should.
    private var nextDial: (at: ContinuousClock.Instant, reason: Redial)?
    /// Connections in a row by which nothing was heard.
    private var unheard = 0

    init(endpoint: String, encrypts: Bool, silenceLimit: Duration) {
        self.endpoint = endpoint
        self.encrypts = encrypts
        self.silenceLimit = silenceLimit
    }

    mutating func handshake(
        _ handshake: Handshake, at now: ContinuousClock.Instant
    ) -> Verdict? {
        if handshake == .succeeded {
            everSucceeded = true
            counts = [:]
            lastSign = now
            hasHeard = false
            nextDial = nil
            return nil
        }
        counts[handshake, default: 0] += 1
        let count = counts[handshake, default: 0]
        if handshake.isGivenUp {
            nextDial = (now + Self.wait(count), .givenUp)
        }
        switch handshake {
        case .succeeded: return nil
        case .keyRefused:
            return count == Self.refusalsBelieved ? .fail(.keyRefused(endpoint: endpoint)) : nil
        case .mismatched:
            return count == Self.refusalsBelieved
                ? .fail(.securityMismatch(endpoint: endpoint, weEncrypt: encrypts)) : nil
        case .failed, .garbled:
            let error = TransportError.handshakeRefused(endpoint: endpoint, times: count)
            // One that worked before has the right key: the coordinator is busy or restarting.
            if encrypts, !everSucceeded, count == Self.failuresBelieved { return .fail(error) }
            if count == Self.failuresAsked { return .askMechanism }
            return count == Self.failuresTold ? .tell("\(error); still trying") : nil
        }
    }

    /// The mechanism that was asked for; nil: nobody said.
    func learned(_ mechanism: String?) -> Verdict? {
        guard let mechanism, mechanism != (encrypts ? "CURVE" : "NULL") else { return nil }
        return .fail(.securityMismatch(endpoint: endpoint, weEncrypt: encrypts))
    }

    mutating func heard(at now: ContinuousClock.Instant) {
        lastSign = now
        hasHeard = true
        unheard = 0
    }

    /// One that ended before anything was heard is dialled under another address.
    mutating func disconnected(at now: ContinuousClock.Instant) {
        if lastSign != nil, !hasHeard {
            unheard += 1
            nextDial = (now + Self.wait(unheard), .unheard)
        }
        lastSign = nil
    }

    private static func wait(_ count: Int) -> Duration {
        min(shortestWait * (1 << min(count - 1, 10)), longestWait)
    }

    /// Why to dial anew.
    enum Redial: Equatable {
        /// libzmq gave up.
        case givenUp
        /// Connected, and nothing heard for so long. A coordinator answers every greeting, unless
        /// another worker has this one's address, or one direction of the network is dead.
        case unheard
    }

    /// Nil: not now. Asked again, it waits as long again.
    mutating func redial(at now: ContinuousClock.Instant) -> Redial? {
        if let (due, reason) = nextDial, now >= due {
            nextDial = nil
            return reason
        }
        guard let sign = lastSign, now - sign > silenceLimit else { return nil }
        lastSign = nil
        return .unheard
    }
}
