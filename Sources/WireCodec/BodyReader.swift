internal import CWireMessages
internal import ClusterCore
internal import Denoising

/// Reads an unpacked body into Swift values, believing nothing.
struct BodyReader {
    let limits: Limits

    func descriptions(
        _ envelope: Tessera__Wire__Envelope
    ) throws(WireError) -> [TensorDescription] {
        guard unsafe envelope.n_tensors <= limits.maximumTensors else {
            throw .oversize(
                what: "tensors in a message", found: unsafe Int(envelope.n_tensors),
                limit: limits.maximumTensors)
        }
        var descriptions: [TensorDescription] = []
        for index in 0..<(unsafe Int(envelope.n_tensors)) {
            guard let part = unsafe envelope.tensors[index] else {
                throw .malformed("a tensor descriptor is missing")
            }
            let rank = unsafe part.pointee.n_shape
            guard rank <= limits.maximumRank else {
                throw .oversize(what: "axes of a tensor", found: rank, limit: limits.maximumRank)
            }
            var shape: [Int] = []
            for axis in 0..<rank { shape.append(unsafe Int(part.pointee.shape[axis])) }
            descriptions.append(
                try TensorDescription(
                    name: try unsafe name(part.pointee.name),
                    elementType: unsafe part.pointee.element_type.rawValue,
                    shape: shape,
                    byteLength: unsafe part.pointee.byte_length,
                    checksum: unsafe part.pointee.crc32c,
                    limits: limits
                ))
        }
        return descriptions
    }

    func content(_ envelope: Tessera__Wire__Envelope) throws(WireError) -> BodyContent {
        switch unsafe envelope.message_case {
        case TESSERA__WIRE__ENVELOPE__MESSAGE_HELLO:
            return .complete(
                .hello(
                    try unsafe hello(
                        part(envelope.hello), incarnation: envelope.incarnation)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_WELCOME:
            return .complete(.welcome(try unsafe welcome(part(envelope.welcome))))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_REJECT:
            let body = try unsafe part(envelope.reject)
            // A code of a later minor version still is a refusal.
            let code = unsafe RejectionCode(rawValue: UInt8(clamping: body.code.rawValue))
            let reason = try unsafe reason(body.reason)
            return .complete(.reject(Rejection(code: code ?? .misbehaved, reason: reason)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_OPEN_JOB:
            let body = try unsafe part(envelope.open_job)
            return unsafe .complete(
                .openJob(JobID(body.job), conditioning: ContentDigest(body.conditioning)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_ASSET_REQUEST:
            let body = try unsafe part(envelope.asset_request)
            return unsafe .complete(.assetRequest(ContentDigest(body.fingerprint)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_ASSET:
            return unsafe .asset(ContentDigest(try part(envelope.asset).fingerprint))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_JOB_READY:
            let body = try unsafe part(envelope.job_ready)
            let problem = try unsafe reason(body.problem)
            return unsafe .complete(
                .jobReady(JobID(body.job), problem: problem.isEmpty ? nil : problem))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_CLOSE_JOB:
            return unsafe .complete(.closeJob(JobID(try part(envelope.close_job).job)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_GOODBYE:
            let raw = try unsafe part(envelope.goodbye).reason.rawValue
            // An unknown reason is the one after which nothing more is expected.
            return .complete(.goodbye(GoodbyeReason(rawValue: UInt8(clamping: raw)) ?? .leaving))
        default:
            return try unsafe work(envelope)
        }
    }

    private func work(_ envelope: Tessera__Wire__Envelope) throws(WireError) -> BodyContent {
        switch unsafe envelope.message_case {
        case TESSERA__WIRE__ENVELOPE__MESSAGE_TASK:
            return try unsafe task(part(envelope.task))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_RESULT:
            let body = try unsafe part(envelope.result)
            let time = unsafe Duration.microseconds(Int64(clamping: body.compute_microseconds))
            let question = unsafe ContentDigest(body.question)
            return .result(
                try unsafe attempt(body.attempt), question: question, computeTime: time)
        case TESSERA__WIRE__ENVELOPE__MESSAGE_FAILURE:
            let body = try unsafe part(envelope.failure)
            // A code of a later minor version: taken as not to be tried again.
            let code = unsafe FailureCode(rawValue: UInt8(clamping: body.code.rawValue))
            let failure = TaskFailure(
                code: code ?? .unsuitable, reason: try unsafe reason(body.reason))
            return .complete(.failure(try unsafe attempt(body.attempt), failure))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_CANCEL:
            return .complete(.cancel(try unsafe attempt(part(envelope.cancel).attempt)))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_HEARTBEAT:
            return .complete(.heartbeat(try unsafe heartbeat(part(envelope.heartbeat))))
        case TESSERA__WIRE__ENVELOPE__MESSAGE_HEARTBEAT_ACK:
            return unsafe .complete(.heartbeatAck(try part(envelope.heartbeat_ack).number))
        default:
            return try unsafe control(envelope)
        }
    }

    // MARK: Parts

    func part<Part>(_ pointer: UnsafeMutablePointer<Part>?) throws(WireError) -> Part {
        guard let pointer = unsafe pointer else {
            throw .malformed("a part of the body is missing")
        }
        return unsafe pointer.pointee
    }

    private func hello(
        _ body: Tessera__Wire__Hello,
        incarnation: UInt64
    ) throws(WireError) -> Hello {
        let machine = try unsafe part(body.compute_class)
        return Hello(
            worker: WorkerID(name: try unsafe name(body.name), incarnation: incarnation),
            slots: unsafe Int(body.slots),
            identity: ModelIdentity(
                weights: unsafe ContentDigest(body.weights_fingerprint),
                computeClass: MachineClass(
                    backend: try unsafe name(machine.backend),
                    instructionSet: try unsafe name(machine.instruction_set),
                    blasCore: try unsafe name(machine.blas_core),
                    precision: try unsafe name(machine.precision)
                )
            ),
            version: try unsafe name(body.version)
        )
    }

    private func welcome(_ body: Tessera__Wire__Welcome) throws(WireError) -> Welcome {
        let milliseconds = unsafe body.heartbeat_milliseconds
        guard (1...60_000).contains(milliseconds) else {
            throw .malformed("a heartbeat every \(milliseconds) ms was asked for")
        }
        return Welcome(
            heartbeatInterval: .milliseconds(Int64(milliseconds)),
            credits: unsafe Int(body.credits),
            version: try unsafe name(body.version)
        )
    }

    private func attempt(
        _ pointer: UnsafeMutablePointer<Tessera__Wire__Attempt>?
    ) throws(WireError) -> AttemptID {
        let body = try unsafe part(pointer)
        guard let kind = unsafe TaskKind(rawValue: UInt8(clamping: body.kind.rawValue)) else {
            throw .malformed("a task of an unknown kind")
        }
        let task = unsafe TaskID(
            job: JobID(body.job), round: body.round, step: body.step, index: body.index, kind: kind)
        return unsafe AttemptID(task: task, number: body.number)
    }

    private func task(_ body: Tessera__Wire__Task) throws(WireError) -> BodyContent {
        let question: BodyContent.Question
        switch unsafe body.question_case {
        case TESSERA__WIRE__TASK__QUESTION_DENOISE:
            question = try unsafe denoise(part(body.denoise))
        case TESSERA__WIRE__TASK__QUESTION_DECODE:
            let floats = try unsafe part(body.decode).floats != 0
            question = .decode(floats ? .floats : .bytes)
        case TESSERA__WIRE__TASK__QUESTION_ENCODE: question = .encode
        default: throw .malformed("a task without a question")
        }
        return .task(
            try unsafe attempt(body.attempt),
            item: unsafe Int(body.item),
            conditioning: unsafe ContentDigest(body.conditioning),
            question
        )
    }

    private func denoise(
        _ body: Tessera__Wire__Denoise
    ) throws(WireError) -> BodyContent.Question {
        guard unsafe body.n_views <= limits.maximumTensors else {
            throw .oversize(
                what: "views of a task", found: unsafe body.n_views, limit: limits.maximumTensors)
        }
        var micro: [MicroConditioning] = []
        for index in 0..<(unsafe body.n_views) {
            let view = try unsafe part(body.views[index])
            guard unsafe view.n_time_ids == 6 else {
                throw .malformed("a view has six numbers of micro-conditioning")
            }
            micro.append(
                MicroConditioning(timeIDs: (0..<6).map { unsafe Int(view.time_ids[$0]) }))
        }
        return try unsafe .denoise(
            timestep: body.timestep, guidanceScale: body.guidance_scale,
            guidanceRescale: body.guidance_rescale,
            bandSplit: body.band_split == nil ? nil : bands(part(body.band_split)), micro: micro)
    }

    private func bands(_ body: Tessera__Wire__BandSplit) throws(WireError) -> BandSplit {
        guard unsafe body.low_height > 0, unsafe body.low_width > 0 else {
            throw .malformed("a low band without extents")
        }
        return unsafe BandSplit(
            highScale: body.high_scale,
            low: Extent(height: Int(body.low_height), width: Int(body.low_width)))
    }

    private func heartbeat(_ body: Tessera__Wire__Heartbeat) throws(WireError) -> Heartbeat {
        let limit = limits.maximumSlots * limits.creditsPerSlot * 4
        guard unsafe body.n_in_hand <= limit else {
            throw .oversize(
                what: "attempts in a heartbeat", found: unsafe body.n_in_hand, limit: limit)
        }
        var inHand: [AttemptID] = []
        for index in 0..<(unsafe body.n_in_hand) {
            inHand.append(try unsafe attempt(body.in_hand[index]))
        }
        return unsafe Heartbeat(
            number: body.number,
            inHand: inHand,
            progress: body.has_progress != 0 ? body.progress : nil
        )
    }

    // MARK: Text

    func name(_ pointer: UnsafeMutablePointer<CChar>?) throws(WireError) -> String {
        try unsafe text(pointer, limit: limits.maximumNameBytes)
    }

    func reason(_ pointer: UnsafeMutablePointer<CChar>?) throws(WireError) -> String {
        try unsafe text(pointer, limit: limits.maximumNameBytes * 10)
    }

    private func text(
        _ pointer: UnsafeMutablePointer<CChar>?,
        limit: Int
    ) throws(WireError) -> String {
        guard let pointer = unsafe pointer else { return "" }
        guard let text = unsafe String(validatingCString: pointer) else {
            throw .malformed("text that is not UTF-8")
        }
        guard text.utf8.count <= limit else {
            throw .oversize(what: "bytes of text", found: text.utf8.count, limit: limit)
        }
        return text
    }
}
