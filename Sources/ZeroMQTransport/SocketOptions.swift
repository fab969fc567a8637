internal import CZeroMQ
internal import ClusterCore

extension ZMQSocket {
    /// The options of both ends; zmq_setsockopt(3) names the defaults they replace.
    func setCommonOptions(_ limits: Limits) throws(TransportError) {
        // Credits are the real bound; these are the belt. Whole messages, per peer.
        try set(ZMQ_SNDHWM, 64)
        try set(ZMQ_RCVHWM, 64)
        // Per frame: ours have 1 MiB at most. A larger one ends its sender's connection.
        try setLong(ZMQ_MAXMSGSIZE, Int64(limits.maximumFrameBytes * 4))
        // The application's own heartbeats decide. With libzmq's the process would be ended by an
        // assertion when a peer dies whose messages wait to be read (4.3.4; issues 3937, 4364, 4767
        // of its repository).
        try set(ZMQ_HEARTBEAT_IVL, 0)
        try set(ZMQ_HANDSHAKE_IVL, CInt(limits.handshakeLimit / .milliseconds(1)))
        // Firewalls that forget quiet connections.
        try set(ZMQ_TCP_KEEPALIVE, 1)
        try set(ZMQ_TCP_KEEPALIVE_IDLE, 30)
        try set(ZMQ_TCP_KEEPALIVE_INTVL, 10)
        try set(ZMQ_TCP_KEEPALIVE_CNT, 3)
        // Black-holed peers.
        try set(ZMQ_TCP_MAXRT, 15_000)
        try set(ZMQ_LINGER, 0)
    }

    func setRouterOptions(_ limits: Limits) throws(TransportError) {
        try setCommonOptions(limits)
        // Without it a message to nobody, or to a full pipe, vanishes without a word.
        try set(ZMQ_ROUTER_MANDATORY, 1)
        // All workers dial at once after a restart.
        try set(ZMQ_BACKLOG, 1024)
    }

    /// Every handshake is asked about at the door, plaintext ones too: libzmq then refuses what
    /// is no ZMTP/3 at the greeting instead of taking an HTTP request for an old peer's message.
    func setSecurity(_ security: ListenSecurity) throws(TransportError) {
        try set(ZMQ_ZAP_DOMAIN, Array(ZAPRequest.domain.utf8))
        guard case .curve(let pair, _) = security else { return }
        // ZMQ_ZAP_ENFORCE_DOMAIN: nobody at the door lets nobody in. zmq.h hides the number in
        // its draft section; the library of 4.3.4 takes it in every build.
        try set(93, 1)
        try set(ZMQ_CURVE_SERVER, 1)
        try set(ZMQ_CURVE_PUBLICKEY, pair.publicKey.bytes)
        try set(ZMQ_CURVE_SECRETKEY, pair.secret)
    }

    func setSecurity(_ security: DialSecurity) throws(TransportError) {
        guard case .curve(let own, let server) = security else { return }
        try set(ZMQ_CURVE_SERVERKEY, server.bytes)
        try set(ZMQ_CURVE_PUBLICKEY, own.publicKey.bytes)
        try set(ZMQ_CURVE_SECRETKEY, own.secret)
    }

    func setDealerOptions(_ limits: Limits, routingID: [UInt8]) throws(TransportError) {
        try setCommonOptions(limits)
        try set(ZMQ_ROUTING_ID, routingID)
        // Nothing is queued for a connection that does not exist.
        try set(ZMQ_IMMEDIATE, 1)
        // Redial with back-off; libzmq adds the jitter.
        try set(ZMQ_RECONNECT_IVL, 100)
        try set(ZMQ_RECONNECT_IVL_MAX, 5000)
        try set(ZMQ_CONNECT_TIMEOUT, 5000)
    }
}
