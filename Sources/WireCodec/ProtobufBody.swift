internal import CWireMessages
internal import ClusterCore
internal import Denoising

/// The door to protobuf-c: Swift values to body bytes and back. No C pointer leaves this folder's
/// two `ProtobufBody` files, and none outlives the call that made it.
enum ProtobufBody {
    struct Parsed {
        let header: WireHeader
        let descriptions: [TensorDescription]
        let content: BodyContent
    }

    /// The body of a message.
    static func pack(
        _ message: WireMessage,
        header: WireHeader,
        descriptions: [TensorDescription]
    ) -> [UInt8] {
        // One tree of malloc'ed parts, so that protobuf-c's own function frees it.
        let envelope = unsafe allocate(tessera__wire__envelope__init)
        defer { unsafe tessera__wire__envelope__free_unpacked(envelope, nil) }
        unsafe envelope.pointee.sequence = header.sequence
        unsafe envelope.pointee.realm = header.life.realm.value
        unsafe envelope.pointee.epoch = header.life.epoch.value
        unsafe envelope.pointee.incarnation = header.incarnation
        unsafe envelope.pointee.n_tensors = descriptions.count
        unsafe envelope.pointee.tensors = pointers(descriptions.map { unsafe descriptor($0) })
        unsafe fill(envelope, with: message, incarnation: header.incarnation)
        let size = unsafe tessera__wire__envelope__get_packed_size(envelope)
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = unsafe tessera__wire__envelope__pack(envelope, buffer.baseAddress)
        }
    }

    /// Parses a body whose length and checksum were checked.
    static func unpack(_ body: [UInt8], limits: Limits) throws(WireError) -> Parsed {
        let envelope = unsafe body.withUnsafeBufferPointer {
            unsafe tessera__wire__envelope__unpack(nil, $0.count, $0.baseAddress)
        }
        guard let envelope = unsafe envelope else {
            throw .malformed("the body is no protobuf message")
        }
        defer { unsafe tessera__wire__envelope__free_unpacked(envelope, nil) }
        let reader = BodyReader(limits: limits)
        let header = unsafe WireHeader(
            sequence: envelope.pointee.sequence,
            life: CoordinatorLife(
                realm: Realm(envelope.pointee.realm), epoch: Epoch(envelope.pointee.epoch)),
            incarnation: envelope.pointee.incarnation
        )
        return Parsed(
            header: header,
            descriptions: try unsafe reader.descriptions(envelope.pointee),
            content: try unsafe reader.content(envelope.pointee)
        )
    }

    // MARK: Building

    private static func fill(
        _ envelope: UnsafeMutablePointer<Tessera__Wire__Envelope>,
        with message: WireMessage,
        incarnation: UInt64
    ) {
        switch message {
        case .hello(let hello):
            precondition(hello.worker.incarnation == incarnation, "a hello of another incarnation")
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_HELLO
            unsafe envelope.pointee.hello = self.hello(hello)
        case .welcome(let welcome):
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_WELCOME
            unsafe envelope.pointee.welcome = self.welcome(welcome)
        case .reject(let rejection):
            let body = unsafe allocate(tessera__wire__reject__init)
            unsafe body.pointee.code = .init(rawValue: UInt32(rejection.code.rawValue))
            unsafe body.pointee.reason = text(rejection.reason)
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_REJECT
            unsafe envelope.pointee.reject = body
        case .openJob(let job, let digest):
            let body = unsafe allocate(tessera__wire__open_job__init)
            unsafe body.pointee.job = job.value
            unsafe body.pointee.conditioning = digest.value
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_OPEN_JOB
            unsafe envelope.pointee.open_job = body
        case .assetRequest(let digest):
            let body = unsafe allocate(tessera__wire__asset_request__init)
            unsafe body.pointee.fingerprint = digest.value
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_ASSET_REQUEST
            unsafe envelope.pointee.asset_request = body
        case .asset(let conditioning):
            let body = unsafe allocate(tessera__wire__asset__init)
            unsafe body.pointee.fingerprint = ContentDigest(conditioning.fingerprint).value
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_ASSET
            unsafe envelope.pointee.asset = body
        case .jobReady(let job, let problem):
            let body = unsafe allocate(tessera__wire__job_ready__init)
            unsafe body.pointee.job = job.value
            unsafe body.pointee.problem = text(problem ?? "")
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_JOB_READY
            unsafe envelope.pointee.job_ready = body
        case .closeJob(let job):
            let body = unsafe allocate(tessera__wire__close_job__init)
            unsafe body.pointee.job = job.value
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_CLOSE_JOB
            unsafe envelope.pointee.close_job = body
        case .goodbye(let reason):
            let body = unsafe allocate(tessera__wire__goodbye__init)
            unsafe body.pointee.reason = .init(rawValue: UInt32(reason.rawValue))
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_GOODBYE
            unsafe envelope.pointee.goodbye = body
        case .task, .result, .failure, .cancel, .heartbeat, .heartbeatAck:
            unsafe fillWork(envelope, with: message)
        case .drain:
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_DRAIN
            unsafe envelope.pointee.drain = allocate(tessera__wire__drain__init)
        case .controlRequest(let request):
            unsafe envelope.pointee.message_case =
                TESSERA__WIRE__ENVELOPE__MESSAGE_CONTROL_REQUEST
            unsafe envelope.pointee.control_request = self.request(request)
        case .controlReply(let reply):
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_CONTROL_REPLY
            unsafe envelope.pointee.control_reply = self.reply(reply)
        }
    }

    private static func fillWork(
        _ envelope: UnsafeMutablePointer<Tessera__Wire__Envelope>,
        with message: WireMessage
    ) {
        switch message {
        case .task(let id, let item, let conditioning):
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_TASK
            unsafe envelope.pointee.task = task(id, item, conditioning)
        case .result(let id, _, let question, let time):
            let body = unsafe allocate(tessera__wire__result__init)
            unsafe body.pointee.attempt = attempt(id)
            unsafe body.pointee.compute_microseconds = microseconds(time)
            unsafe body.pointee.question = question.value
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_RESULT
            unsafe envelope.pointee.result = body
        case .failure(let id, let failure):
            let body = unsafe allocate(tessera__wire__failure__init)
            unsafe body.pointee.attempt = attempt(id)
            unsafe body.pointee.code = .init(rawValue: UInt32(failure.code.rawValue))
            unsafe body.pointee.reason = text(failure.reason)
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_FAILURE
            unsafe envelope.pointee.failure = body
        case .cancel(let id):
            let body = unsafe allocate(tessera__wire__cancel__init)
            unsafe body.pointee.attempt = attempt(id)
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_CANCEL
            unsafe envelope.pointee.cancel = body
        case .heartbeat(let heartbeat):
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_HEARTBEAT
            unsafe envelope.pointee.heartbeat = self.heartbeat(heartbeat)
        case .heartbeatAck(let number):
            let body = unsafe allocate(tessera__wire__heartbeat_ack__init)
            unsafe body.pointee.number = number
            unsafe envelope.pointee.message_case = TESSERA__WIRE__ENVELOPE__MESSAGE_HEARTBEAT_ACK
            unsafe envelope.pointee.heartbeat_ack = body
        default:
            preconditionFailure("not a message about work")
        }
    }
}
