package import ClusterCore
package import Denoising
package import Logging
package import ZeroMQTransport

// Transports by endpoint: the only file here that knows which ones there are.

extension Coordinator {
    /// Binds `listen` over ZeroMQ at once; a free port is named by ``endpoint`` then. `onNotice` is told what a person should know of strangers at the
    /// door. Throws ``TransportError``, also for a plaintext address off this machine unless
    /// `security` says that it may. `decorate` may put something around the transport.
    package convenience init(
        binding listen: ListenAddress,
        security: ListenSecurity = .plaintext(mayLeaveMachine: false),
        onNotice: @escaping @Sendable (String) -> Void = { _ in },
        expected: ModelIdentity,
        version: String,
        life: CoordinatorLife = CoordinatorLife(realm: .random(), epoch: Epoch(1)),
        limits: Limits = .standard,
        confirmedPercent: Double = 0,
        recorder: (any EventRecorder)? = nil,
        decorate: (any CoordinatorTransport) -> any CoordinatorTransport = { $0 },
        logger: Logger
    ) throws(TransportError) {
        self.init(
            transport: decorate(
                try RouterTransport(
                    binding: listen, security: security, limits: limits, onNotice: onNotice)),
            expected: expected,
            version: version,
            life: life,
            limits: limits,
            confirmedPercent: confirmedPercent,
            recorder: recorder,
            logger: logger
        )
    }
}

extension ControlServer {
    /// Binds `listen` over ZeroMQ at once; it stays on this machine: `ipc://`, protected by
    /// file permissions, or loopback `tcp://`. Throws ``TransportError``.
    package convenience init(
        binding listen: ListenAddress, limits: Limits = .control, logger: Logger
    ) throws(TransportError) {
        self.init(
            transport: try RouterTransport(
                binding: listen, security: .plaintext(mayLeaveMachine: false), limits: limits),
            limits: limits, logger: logger)
    }
}

extension ControlClient {
    /// Connects to `endpoint` over ZeroMQ; the connection comes about later. Throws
    /// ``TransportError``.
    package convenience init(
        connect endpoint: String, limits: Limits = .control
    ) throws(TransportError) {
        self.init(
            transport: try DealerTransport(connecting: endpoint, limits: limits), limits: limits)
    }
}

extension Worker {
    /// Connects to `endpoint` over ZeroMQ; the connection comes about later, or ``run()`` throws
    /// why the coordinator refuses it. `onNotice` is told what a person should know meanwhile.
    /// Throws ``TransportError``, also for a plaintext address off this machine unless
    /// `security` says that it may. `decorate` may put something around the transport.
    package convenience init(
        connect endpoint: String,
        security: DialSecurity = .plaintext(mayLeaveMachine: false),
        onNotice: @escaping @Sendable (String) -> Void = { _ in },
        name: String,
        identity: ModelIdentity,
        model: any ComputeModel,
        progress: (@Sendable () -> UInt64)? = nil,
        version: String,
        limits: Limits = .standard,
        onHang: @escaping @Sendable (String) -> Void = { _ in },
        decorate: (any WorkerTransport) -> any WorkerTransport = { $0 },
        logger: Logger
    ) throws(TransportError) {
        self.init(
            transport: decorate(
                try DealerTransport(
                    connecting: endpoint, security: security, limits: limits, onNotice: onNotice)),
            name: name,
            identity: identity,
            model: model,
            progress: progress,
            version: version,
            limits: limits,
            onHang: onHang,
            logger: logger
        )
    }
}
