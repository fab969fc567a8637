package import ClusterCore
package import Denoising
package import Logging
internal import ZeroMQTransport

// Transports by endpoint: the only file here that knows which ones there are.

extension Coordinator {
    /// Binds `endpoint` over ZeroMQ at once; `tcp://127.0.0.1:*` takes a free port, which
    /// ``endpoint`` then names. Throws ``TransportError``, also for a plaintext address off this
    /// machine unless `insecure`.
    package convenience init(
        endpoint: String,
        insecure: Bool = false,
        expected: ModelIdentity,
        version: String,
        epoch: Epoch = Epoch(1),
        limits: Limits = .standard,
        logger: Logger
    ) throws(TransportError) {
        self.init(
            transport: try RouterTransport(binding: endpoint, insecure: insecure, limits: limits),
            expected: expected,
            version: version,
            epoch: epoch,
            limits: limits,
            logger: logger
        )
    }
}

extension Worker {
    /// Connects to `endpoint` over ZeroMQ; the connection comes about later. Throws
    /// ``TransportError``, also for a plaintext address off this machine unless `insecure`.
    package convenience init(
        connect endpoint: String,
        insecure: Bool = false,
        name: String,
        identity: ModelIdentity,
        model: any ComputeModel,
        progress: (@Sendable () -> UInt64)? = nil,
        version: String,
        limits: Limits = .standard,
        logger: Logger
    ) throws(TransportError) {
        self.init(
            transport: try DealerTransport(
                connecting: endpoint, insecure: insecure, limits: limits),
            name: name,
            identity: identity,
            model: model,
            progress: progress,
            version: version,
            limits: limits,
            logger: logger
        )
    }
}
