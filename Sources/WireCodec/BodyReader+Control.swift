internal import CWireMessages
internal import ClusterCore

/// What travels on the control socket, from protobuf.
extension BodyReader {
    func control(_ envelope: Tessera__Wire__Envelope) throws(WireError) -> BodyContent {
        switch unsafe envelope.message_case {
        case TESSERA__WIRE__ENVELOPE__MESSAGE_DRAIN:
            return .complete(.drain)
        case TESSERA__WIRE__ENVELOPE__MESSAGE_CONTROL_REQUEST:
            let body = try unsafe part(envelope.control_request)
            return .complete(
                .controlRequest(
                    ControlRequest(
                        number: unsafe body.number, question: try unsafe question(body))))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_CONTROL_REPLY:
            let body = try unsafe part(envelope.control_reply)
            return .complete(
                .controlReply(
                    ControlReply(number: unsafe body.number, answer: try unsafe answer(body))))
        default:
            throw .unknownMessage
        }
    }

    private func question(
        _ body: Tessera__Wire__ControlRequest
    ) throws(WireError) -> ControlQuestion {
        switch unsafe body.question_case {
        case TESSERA__WIRE__CONTROL_REQUEST__QUESTION_SUBMIT:
            let submit = try unsafe part(body.submit)
            return .submit(id: try unsafe reason(submit.id), order: try unsafe order(submit.order))
        case TESSERA__WIRE__CONTROL_REQUEST__QUESTION_STATUS:
            let id = try unsafe reason(part(body.status).id)
            return .status(id: id.isEmpty ? nil : id)
        case TESSERA__WIRE__CONTROL_REQUEST__QUESTION_CANCEL:
            return .cancel(id: try unsafe reason(part(body.cancel).id))
        case TESSERA__WIRE__CONTROL_REQUEST__QUESTION_WORKERS:
            return .workers
        case TESSERA__WIRE__CONTROL_REQUEST__QUESTION_DRAIN:
            return .drain(name: try unsafe reason(part(body.drain).name))
        default:
            throw .unknownMessage
        }
    }

    private func order(_ data: ProtobufCBinaryData) throws(WireError) -> [UInt8] {
        let count = unsafe data.len
        guard count <= limits.maximumOrderBytes else {
            throw .oversize(
                what: "bytes of a request", found: count, limit: limits.maximumOrderBytes)
        }
        return unsafe Array(UnsafeBufferPointer(start: data.data, count: count))
    }

    private func answer(
        _ body: Tessera__Wire__ControlReply
    ) throws(WireError) -> ControlAnswer {
        switch unsafe body.answer_case {
        case TESSERA__WIRE__CONTROL_REPLY__ANSWER_JOBS:
            let list = try unsafe part(body.jobs)
            try checkCount(unsafe list.n_jobs)
            var jobs: [JobStatus] = []
            for index in 0..<(unsafe list.n_jobs) {
                jobs.append(try unsafe job(part(list.jobs[index])))
            }
            return .jobs(jobs)
        case TESSERA__WIRE__CONTROL_REPLY__ANSWER_WORKERS:
            let list = try unsafe part(body.workers)
            try checkCount(unsafe list.n_workers)
            var workers: [WorkerStatus] = []
            for index in 0..<(unsafe list.n_workers) {
                workers.append(try unsafe worker(part(list.workers[index])))
            }
            return .workers(workers)
        case TESSERA__WIRE__CONTROL_REPLY__ANSWER_REFUSAL:
            let refusal = try unsafe part(body.refusal)
            // A code of a later minor version still is a refusal.
            let code = unsafe RefusalCode(rawValue: UInt8(clamping: refusal.code.rawValue))
            return .refused(ControlRefusal(code ?? .badData, try unsafe reason(refusal.reason)))
        default:
            throw .unknownMessage
        }
    }

    private func checkCount(_ count: Int) throws(WireError) {
        guard count <= limits.maximumControlEntries else {
            throw .oversize(
                what: "entries of a list", found: count, limit: limits.maximumControlEntries)
        }
    }

    private func job(_ body: Tessera__Wire__JobStatus) throws(WireError) -> JobStatus {
        guard let phase = unsafe JobPhase(rawValue: UInt8(clamping: body.phase.rawValue)) else {
            throw .malformed("a job in an unknown phase")
        }
        return JobStatus(
            id: try unsafe name(body.id), phase: phase, done: unsafe Int(body.done),
            total: unsafe Int(body.total), reason: try unsafe reason(body.reason),
            exitCode: unsafe Int(body.exit_code), output: try unsafe reason(body.output))
    }

    private func worker(_ body: Tessera__Wire__WorkerStatus) throws(WireError) -> WorkerStatus {
        guard
            let activity = unsafe WorkerActivity(rawValue: UInt8(clamping: body.activity.rawValue))
        else { throw .malformed("a worker at an unknown activity") }
        return WorkerStatus(
            name: try unsafe name(body.name), activity: activity,
            attemptsInHand: unsafe Int(body.attempts_in_hand),
            denoiseTime: unsafe .microseconds(Int64(clamping: body.denoise_microseconds)),
            decodeTime: unsafe .microseconds(Int64(clamping: body.decode_microseconds)),
            quarantine: unsafe .milliseconds(
                min(Int64(clamping: body.quarantine_milliseconds), 1 << 50)),
            quarantines: unsafe Int(body.quarantines))
    }
}
