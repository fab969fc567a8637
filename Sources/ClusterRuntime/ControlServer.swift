package import ClusterCore
package import Logging
internal import WireCodec

/// Answers operators' questions at a socket of its own, one after the other.
package final class ControlServer: Sendable {
    /// Where operators connect to, with the real port.
    package let endpoint: String
    private let transport: any CoordinatorTransport
    private let limits: Limits
    private let logger: Logger

    /// Works over a transport that is ready; see also the initialiser that binds an endpoint.
    package init(transport: any CoordinatorTransport, limits: Limits = .control, logger: Logger) {
        self.transport = transport
        self.endpoint = transport.endpoint
        self.limits = limits
        self.logger = logger
    }

    /// Answers until ``shutdown()``, or until the task is cancelled. Once in a server's life. A
    /// client that goes away before its answer changes nothing.
    package func run(
        answering answer: @Sendable (ControlQuestion) async -> ControlAnswer
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await self.transport.run(tickInterval: self.limits.tickInterval) {}
            }
            await receive(from: transport, answer)
            try await group.waitForAll()
        }
    }

    /// Sends what was answered, and lets `run` return.
    package func shutdown() { transport.shutdown() }

    private func receive(
        from transport: some CoordinatorTransport,
        _ answer: @Sendable (ControlQuestion) async -> ControlAnswer
    ) async {
        var sequence: UInt64 = 0
        for await case .received(let frames, let peer) in transport.inbound {
            guard let request = request(in: frames) else { continue }
            sequence += 1
            let reply = ControlReply(
                number: request.number, answer: await answer(request.question))
            send(reply, sequence: sequence, to: peer)
        }
    }

    /// Nil, and a note in the log, for anything but a question.
    private func request(in frames: Frames) -> ControlRequest? {
        do throws(WireError) {
            if case .controlRequest(let request) = try WireCodec.decode(frames, limits: limits)
                .message
            {
                return request
            }
            logger.warning("the control socket got what is no question; it was ignored")
        } catch {
            logger.warning("the control socket got no message of ours: \(error)")
        }
        return nil
    }

    private func send(_ reply: ControlReply, sequence: UInt64, to peer: PeerID) {
        let header = WireHeader(sequence: sequence, life: .unknown, incarnation: 0)
        do throws(WireError) {
            transport.send(
                try WireCodec.encode(.controlReply(reply), header: header, limits: limits),
                to: peer)
        } catch {
            logger.critical("an answer could not be encoded", metadata: ["reason": "\(error)"])
        }
    }
}
