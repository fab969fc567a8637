internal import CWireMessages
internal import ClusterCore
internal import Glibc

/// What travels on the control socket, to protobuf.
extension ProtobufBody {
    static func request(
        _ request: ControlRequest
    ) -> UnsafeMutablePointer<Tessera__Wire__ControlRequest> {
        let part = unsafe allocate(tessera__wire__control_request__init)
        unsafe part.pointee.number = request.number
        switch request.question {
        case .submit(let id, let order):
            let body = unsafe allocate(tessera__wire__submit__init)
            unsafe body.pointee.id = text(id)
            unsafe body.pointee.order.len = order.count
            unsafe body.pointee.order.data = numbers(order)
            unsafe part.pointee.question_case = TESSERA__WIRE__CONTROL_REQUEST__QUESTION_SUBMIT
            unsafe part.pointee.submit = body
        case .status(let id):
            unsafe part.pointee.question_case = TESSERA__WIRE__CONTROL_REQUEST__QUESTION_STATUS
            unsafe part.pointee.status = jobName(id ?? "")
        case .cancel(let id):
            unsafe part.pointee.question_case = TESSERA__WIRE__CONTROL_REQUEST__QUESTION_CANCEL
            unsafe part.pointee.cancel = jobName(id)
        case .workers:
            unsafe part.pointee.question_case = TESSERA__WIRE__CONTROL_REQUEST__QUESTION_WORKERS
            unsafe part.pointee.workers = workerName("")
        case .drain(let name):
            unsafe part.pointee.question_case = TESSERA__WIRE__CONTROL_REQUEST__QUESTION_DRAIN
            unsafe part.pointee.drain = workerName(name)
        }
        return unsafe part
    }

    static func reply(
        _ reply: ControlReply
    ) -> UnsafeMutablePointer<Tessera__Wire__ControlReply> {
        let part = unsafe allocate(tessera__wire__control_reply__init)
        unsafe part.pointee.number = reply.number
        switch reply.answer {
        case .jobs(let jobs):
            let body = unsafe allocate(tessera__wire__job_list__init)
            unsafe body.pointee.n_jobs = jobs.count
            unsafe body.pointee.jobs = pointers(jobs.map { unsafe status($0) })
            unsafe part.pointee.answer_case = TESSERA__WIRE__CONTROL_REPLY__ANSWER_JOBS
            unsafe part.pointee.jobs = body
        case .workers(let workers):
            let body = unsafe allocate(tessera__wire__worker_list__init)
            unsafe body.pointee.n_workers = workers.count
            unsafe body.pointee.workers = pointers(workers.map { unsafe status($0) })
            unsafe part.pointee.answer_case = TESSERA__WIRE__CONTROL_REPLY__ANSWER_WORKERS
            unsafe part.pointee.workers = body
        case .refused(let refusal):
            let body = unsafe allocate(tessera__wire__refusal__init)
            unsafe body.pointee.code = .init(rawValue: UInt32(refusal.code.rawValue))
            unsafe body.pointee.reason = text(refusal.reason)
            unsafe part.pointee.answer_case = TESSERA__WIRE__CONTROL_REPLY__ANSWER_REFUSAL
            unsafe part.pointee.refusal = body
        }
        return unsafe part
    }

    private static func jobName(_ id: String) -> UnsafeMutablePointer<Tessera__Wire__JobName> {
        let part = unsafe allocate(tessera__wire__job_name__init)
        unsafe part.pointee.id = text(id)
        return unsafe part
    }

    private static func workerName(
        _ name: String
    ) -> UnsafeMutablePointer<Tessera__Wire__WorkerName> {
        let part = unsafe allocate(tessera__wire__worker_name__init)
        unsafe part.pointee.name = text(name)
        return unsafe part
    }

    private static func status(
        _ job: JobStatus
    ) -> UnsafeMutablePointer<Tessera__Wire__JobStatus> {
        let part = unsafe allocate(tessera__wire__job_status__init)
        unsafe part.pointee.id = text(job.id)
        unsafe part.pointee.phase = .init(rawValue: UInt32(job.phase.rawValue))
        unsafe part.pointee.done = UInt32(clamping: job.done)
        unsafe part.pointee.total = UInt32(clamping: job.total)
        unsafe part.pointee.reason = text(job.reason)
        unsafe part.pointee.exit_code = UInt32(clamping: job.exitCode)
        unsafe part.pointee.output = text(job.output)
        return unsafe part
    }

    private static func status(
        _ worker: WorkerStatus
    ) -> UnsafeMutablePointer<Tessera__Wire__WorkerStatus> {
        let part = unsafe allocate(tessera__wire__worker_status__init)
        unsafe part.pointee.name = text(worker.name)
        unsafe part.pointee.activity = .init(rawValue: UInt32(worker.activity.rawValue))
        unsafe part.pointee.attempts_in_hand = UInt32(clamping: worker.attemptsInHand)
        unsafe part.pointee.denoise_microseconds = microseconds(worker.denoiseTime)
        unsafe part.pointee.decode_microseconds = microseconds(worker.decodeTime)
        unsafe part.pointee.quarantine_milliseconds = microseconds(worker.quarantine) / 1000
        unsafe part.pointee.quarantines = UInt32(clamping: worker.quarantines)
        return unsafe part
    }
}
