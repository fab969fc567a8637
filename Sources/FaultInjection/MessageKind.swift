internal import ClusterCore
internal import WireCodec

/// What faults need to know of a message.
struct MessageKind {
    let target: FaultTarget
    /// The sampling step of the task it is about; nil for tiles.
    let step: Int?

    init(_ message: WireMessage) {
        switch message {
        case .hello: self.init(.hello)
        case .welcome: self.init(.welcome)
        case .reject: self.init(.reject)
        case .openJob: self.init(.open)
        case .assetRequest: self.init(.assetRequest)
        case .asset: self.init(.asset)
        case .jobReady: self.init(.ready)
        case .closeJob: self.init(.close)
        case .task(let attempt, _, _): self.init(.task, attempt)
        case .result(let attempt, _, _, _): self.init(.result, attempt)
        case .failure(let attempt, _): self.init(.failure, attempt)
        case .cancel(let attempt): self.init(.cancel, attempt)
        case .heartbeat: self.init(.heartbeat)
        case .heartbeatAck: self.init(.ack)
        case .goodbye, .drain: self.init(.goodbye)
        // Operators' messages have a socket of their own, where nothing is broken on purpose.
        case .controlRequest, .controlReply: self.init(.any)
        }
    }

    private init(_ target: FaultTarget, _ attempt: AttemptID? = nil) {
        self.target = target
        let task = attempt?.task
        step = task?.kind == .denoise ? task.map { Int($0.step) } : nil
    }
}
