package import ClusterCore
internal import Locking
internal import WireCodec

/// Why there is no answer to an operator's question.
package enum ControlError: Error, Equatable, CustomStringConvertible {
    /// Nobody answered for this long, because of `trouble` if that is known.
    case silent(endpoint: String, Duration, trouble: String?)
    /// The question does not fit into a message.
    case unsuitable(String)

    package var description: String {
        switch self {
        case .silent(let endpoint, let time, let trouble):
            "no coordinator answered at \(endpoint) for \(time.components.seconds) s"
                + (trouble.map { ": \($0)" } ?? "")
        case .unsuitable(let reason): "the question cannot be sent: \(reason)"
        }
    }
}

/// Asks a coordinator that stays up. Questions that are lost with a connection are asked again:
/// all of them can be, for a job has a name of its own.
package final class ControlClient: Sendable {
    private let transport: any WorkerTransport
    private let limits: Limits
    private let clock = MonotonicClock()
    private let state = Lock(State())

    private struct State {
        var number: UInt64 = 0
        var open: Question?
    }

    private struct Question {
        let number: UInt64
        let frames: Frames
        var sentAt: Instant
        let deadline: Instant
        let patience: Duration
        let answer: CheckedContinuation<ControlAnswer, any Error>
    }

    /// A question without an answer is asked again this often.
    private static let repetition: Duration = .seconds(2)

    /// Works over a transport that is ready; see also the initialiser that connects an endpoint.
    package init(transport: any WorkerTransport, limits: Limits = .control) {
        self.transport = transport
        self.limits = limits
    }

    /// Runs `body`, which may ``ask(_:patience:)``. Once in a client's life.
    package func withConnection<Result: Sendable>(
        _ body: () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await self.transport.run(tickInterval: self.limits.tickInterval) {
                    self.tick()
                }
            }
            group.addTask { await self.receive(from: self.transport) }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// One question at a time. Throws ``ControlError`` when nobody answers within `patience`.
    package func ask(
        _ question: ControlQuestion, patience: Duration
    ) async throws -> ControlAnswer {
        let number = state.withLock { state in
            state.number += 1
            return state.number
        }
        let frames = try encoded(ControlRequest(number: number, question: question))
        return try await withCheckedThrowingContinuation { continuation in
            let now = clock.now
            state.withLock { state in
                precondition(state.open == nil, "one question at a time")
                state.open = Question(
                    number: number, frames: frames, sentAt: now, deadline: now + patience,
                    patience: patience, answer: continuation)
            }
            transport.send(frames, expendable: false)
        }
    }

    private func encoded(_ request: ControlRequest) throws(ControlError) -> Frames {
        if case .submit(_, let order) = request.question, order.count > limits.maximumOrderBytes {
            throw .unsuitable(
                "the request has \(order.count) bytes, at most \(limits.maximumOrderBytes) are "
                    + "possible")
        }
        let header = WireHeader(sequence: request.number, life: .unknown, incarnation: 0)
        do throws(WireError) {
            return try WireCodec.encode(.controlRequest(request), header: header, limits: limits)
        } catch {
            throw .unsuitable("\(error)")
        }
    }

    private func tick() {
        let now = clock.now
        let (overdue, again) = state.withLock { state -> (Question?, Frames?) in
            guard var open = state.open else { return (nil, nil) }
            if now >= open.deadline {
                state.open = nil
                return (open, nil)
            }
            guard now - open.sentAt >= Self.repetition else { return (nil, nil) }
            open.sentAt = now
            state.open = open
            return (nil, open.frames)
        }
        if let again { transport.send(again, expendable: true) }
        overdue?.answer.resume(
            throwing: ControlError.silent(
                endpoint: transport.endpoint, overdue?.patience ?? .zero,
                trouble: transport.trouble))
    }

    private func receive(from transport: some WorkerTransport) async {
        for await frames in transport.inbound {
            guard let message = try? WireCodec.decode(frames, limits: limits).message,
                case .controlReply(let reply) = message
            else { continue }
            let question = state.withLock { state in
                // Else it answers a repetition of an earlier question.
                guard state.open?.number == reply.number else { return nil as Question? }
                defer { state.open = nil }
                return state.open
            }
            question?.answer.resume(returning: reply.answer)
        }
        // Nobody ticks any more.
        let open = state.withLock { state in
            defer { state.open = nil }
            return state.open
        }
        open?.answer.resume(throwing: CancellationError())
    }
}
