internal import CWireMessages
internal import ClusterCore
internal import Denoising
internal import Glibc

/// The parts of messages, each malloc'ed: freeing the envelope frees them.
extension ProtobufBody {
    static func allocate<Part>(
        _ initialise: (UnsafeMutablePointer<Part>?) -> Void
    ) -> UnsafeMutablePointer<Part> {
        guard let memory = unsafe malloc(MemoryLayout<Part>.size) else {
            preconditionFailure("out of memory for a message of a few bytes")
        }
        let part = unsafe memory.bindMemory(to: Part.self, capacity: 1)
        unsafe initialise(part)
        return unsafe part
    }

    /// A malloc'ed array of pointers; nil for none.
    static func pointers<Part>(
        _ parts: [UnsafeMutablePointer<Part>]
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<Part>?>? {
        typealias Pointer = UnsafeMutablePointer<Part>?
        guard unsafe !parts.isEmpty,
            let memory = unsafe malloc(MemoryLayout<Pointer>.stride * parts.count)
        else { return nil }
        let array = unsafe memory.bindMemory(to: Pointer.self, capacity: parts.count)
        for unsafe(index, part) in unsafe parts.enumerated() {
            unsafe (array + index).initialize(to: part)
        }
        return unsafe array
    }

    /// A malloc'ed array of numbers; nil for none.
    static func numbers<Number: BitwiseCopyable>(
        _ values: [Number]
    ) -> UnsafeMutablePointer<Number>? {
        guard !values.isEmpty,
            let memory = unsafe malloc(MemoryLayout<Number>.stride * values.count)
        else { return nil }
        let array = unsafe memory.bindMemory(to: Number.self, capacity: values.count)
        for (index, value) in values.enumerated() {
            unsafe (array + index).initialize(to: value)
        }
        return unsafe array
    }

    /// A malloc'ed C string, cut at a length that every reader takes.
    static func text(_ text: String) -> UnsafeMutablePointer<CChar>? {
        var short = text
        while short.utf8.count > Limits.standard.maximumNameBytes * 10 {
            short = String(short.prefix(short.count - max(1, short.count / 8)))
        }
        return unsafe strdup(short)
    }

    static func descriptor(
        _ description: TensorDescription
    ) -> UnsafeMutablePointer<Tessera__Wire__TensorDescriptor> {
        let part = unsafe allocate(tessera__wire__tensor_descriptor__init)
        unsafe part.pointee.name = text(description.name)
        unsafe part.pointee.element_type = .init(rawValue: description.elementType.rawValue)
        unsafe part.pointee.n_shape = description.shape.count
        unsafe part.pointee.shape = numbers(description.shape.map { UInt32($0) })
        unsafe part.pointee.byte_length = UInt64(description.byteLength)
        unsafe part.pointee.crc32c = description.checksum
        return unsafe part
    }

    static func hello(_ hello: Hello) -> UnsafeMutablePointer<Tessera__Wire__Hello> {
        let part = unsafe allocate(tessera__wire__hello__init)
        unsafe part.pointee.name = text(hello.worker.name)
        unsafe part.pointee.slots = UInt32(hello.slots)
        unsafe part.pointee.weights_fingerprint = hello.identity.weights.value
        unsafe part.pointee.version = text(hello.version)
        let machine = unsafe allocate(tessera__wire__compute_class__init)
        unsafe machine.pointee.backend = text(hello.identity.computeClass.backend)
        unsafe machine.pointee.instruction_set = text(hello.identity.computeClass.instructionSet)
        unsafe machine.pointee.blas_core = text(hello.identity.computeClass.blasCore)
        unsafe machine.pointee.precision = text(hello.identity.computeClass.precision)
        unsafe part.pointee.compute_class = machine
        return unsafe part
    }

    static func welcome(_ welcome: Welcome) -> UnsafeMutablePointer<Tessera__Wire__Welcome> {
        let part = unsafe allocate(tessera__wire__welcome__init)
        unsafe part.pointee.heartbeat_milliseconds = UInt32(
            clamping: microseconds(welcome.heartbeatInterval) / 1000)
        unsafe part.pointee.credits = UInt32(welcome.credits)
        unsafe part.pointee.version = text(welcome.version)
        return unsafe part
    }

    static func attempt(_ attempt: AttemptID) -> UnsafeMutablePointer<Tessera__Wire__Attempt> {
        let part = unsafe allocate(tessera__wire__attempt__init)
        unsafe part.pointee.job = attempt.task.job.value
        unsafe part.pointee.round = attempt.task.round
        unsafe part.pointee.step = attempt.task.step
        unsafe part.pointee.index = attempt.task.index
        unsafe part.pointee.kind = .init(rawValue: UInt32(attempt.task.kind.rawValue))
        unsafe part.pointee.number = attempt.number
        return unsafe part
    }

    static func task(
        _ id: AttemptID,
        _ item: WorkItem,
        _ conditioning: ContentDigest
    ) -> UnsafeMutablePointer<Tessera__Wire__Task> {
        let part = unsafe allocate(tessera__wire__task__init)
        unsafe part.pointee.attempt = attempt(id)
        unsafe part.pointee.conditioning = conditioning.value
        unsafe part.pointee.item = UInt32(item.index)
        switch item {
        case .denoise(let question):
            let body = unsafe allocate(tessera__wire__denoise__init)
            unsafe body.pointee.timestep = question.timestep
            unsafe body.pointee.guidance_scale = question.guidanceScale
            unsafe body.pointee.guidance_rescale = question.guidanceRescale
            if let bands = question.bandSplit {
                unsafe body.pointee.band_split = self.bands(bands)
            }
            unsafe body.pointee.n_views = question.views.count
            unsafe body.pointee.views = pointers(
                question.views.map { unsafe view($0.microConditioning) })
            unsafe part.pointee.question_case = TESSERA__WIRE__TASK__QUESTION_DENOISE
            unsafe part.pointee.denoise = body
        case .decode(let question):
            let body = unsafe allocate(tessera__wire__decode__init)
            unsafe body.pointee.floats = question.format == .floats ? 1 : 0
            unsafe part.pointee.question_case = TESSERA__WIRE__TASK__QUESTION_DECODE
            unsafe part.pointee.decode = body
        case .encode:
            unsafe part.pointee.question_case = TESSERA__WIRE__TASK__QUESTION_ENCODE
            unsafe part.pointee.encode = allocate(tessera__wire__encode__init)
        }
        return unsafe part
    }

    private static func bands(
        _ bands: BandSplit
    ) -> UnsafeMutablePointer<Tessera__Wire__BandSplit> {
        let part = unsafe allocate(tessera__wire__band_split__init)
        unsafe part.pointee.high_scale = bands.highScale
        unsafe part.pointee.low_height = UInt32(bands.low.height)
        unsafe part.pointee.low_width = UInt32(bands.low.width)
        return unsafe part
    }

    private static func view(
        _ micro: MicroConditioning
    ) -> UnsafeMutablePointer<Tessera__Wire__View> {
        let part = unsafe allocate(tessera__wire__view__init)
        let numbers = micro.timeIDs.map { Int32($0) }
        unsafe part.pointee.n_time_ids = numbers.count
        unsafe part.pointee.time_ids = self.numbers(numbers)
        return unsafe part
    }

    static func heartbeat(
        _ heartbeat: Heartbeat
    ) -> UnsafeMutablePointer<Tessera__Wire__Heartbeat> {
        let part = unsafe allocate(tessera__wire__heartbeat__init)
        unsafe part.pointee.number = heartbeat.number
        unsafe part.pointee.n_in_hand = heartbeat.inHand.count
        unsafe part.pointee.in_hand = pointers(heartbeat.inHand.map { unsafe attempt($0) })
        unsafe part.pointee.has_progress = heartbeat.progress == nil ? 0 : 1
        unsafe part.pointee.progress = heartbeat.progress ?? 0
        return unsafe part
    }

    /// Whole microseconds, 0 for negative times.
    static func microseconds(_ time: Duration) -> UInt64 {
        let (seconds, attoseconds) = time.components
        return UInt64(max(0, seconds)) * 1_000_000 + UInt64(max(0, attoseconds)) / 1_000_000_000_000
    }
}
