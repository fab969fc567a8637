package import ClusterCore
package import Denoising

/// Messages to frames and back: a header frame (preamble and protobuf body), then tensor frames.
///
/// Decoding takes nothing on trust: it rejects in the order preamble, body checksum, body,
/// descriptors, frame lengths, tensor checksums, and allocates for tensors only after that.
/// Values of tensors are not judged here; NaN is a number to the codec.
package enum WireCodec {
    /// Throws ``WireError/oversize(what:found:limit:)`` when the message has too many or too
    /// large tensors.
    package static func encode(
        _ message: WireMessage,
        header: WireHeader,
        limits: Limits = .standard
    ) throws(WireError) -> Frames {
        if case .task(_, let item, _) = message { try checkNumbers(of: item) }
        let tensors = message.tensors
        let descriptions = tensors.map { TensorDescription(of: $0) }
        try check(descriptions, limits: limits)
        let body = ProtobufBody.pack(message, header: header, descriptions: descriptions)
        guard body.count <= limits.maximumBodyBytes else {
            throw .oversize(
                what: "body bytes", found: body.count, limit: limits.maximumBodyBytes)
        }
        return [Preamble.frame(around: body)]
            + tensors.flatMap { TensorCodec.frames(of: $0, limits: limits) }
    }

    /// Throws a ``WireError`` for anything that `encode` could not have made.
    package static func decode(
        _ frames: Frames,
        limits: Limits = .standard
    ) throws(WireError) -> (header: WireHeader, message: WireMessage) {
        guard let first = frames.first else { throw .notOurs("it has no frames") }
        let body = try Preamble.body(of: first, limits: limits)
        guard frames.count - 1 <= limits.maximumTensorFrames else {
            throw .oversize(
                what: "tensor frames", found: frames.count - 1, limit: limits.maximumTensorFrames)
        }
        let parsed = try ProtobufBody.unpack(body, limits: limits)
        try check(parsed.descriptions, limits: limits)
        let tensors = try TensorCodec.tensors(
            parsed.descriptions, from: frames.dropFirst(), limits: limits)
        return (parsed.header, try parsed.content.message(with: tensors, header: parsed.header))
    }

    /// Throws when the item could not travel: for saying so before anything is sent.
    package static func check(
        _ item: WorkItem,
        limits: Limits = .standard
    ) throws(WireError) {
        try checkNumbers(of: item)
        try check(item.tensors.map { TensorDescription(of: $0) }, limits: limits)
    }

    /// Numbers of a plan are `Int`; the wire has 32 bits for them.
    private static func checkNumbers(of item: WorkItem) throws(WireError) {
        guard UInt32(exactly: item.index) != nil else {
            throw .oversize(what: "index of a task", found: item.index, limit: Int(UInt32.max))
        }
        guard case .denoise(let task) = item else { return }
        for number in task.views.flatMap(\.microConditioning.timeIDs)
        where Int32(exactly: number) == nil {
            throw .oversize(
                what: "pixels of micro-conditioning", found: number, limit: Int(Int32.max))
        }
    }

    private static func check(
        _ descriptions: [TensorDescription],
        limits: Limits
    ) throws(WireError) {
        guard descriptions.count <= limits.maximumTensors else {
            throw .oversize(
                what: "tensors in a message", found: descriptions.count,
                limit: limits.maximumTensors)
        }
        let frames = descriptions.reduce(0) { $0 + $1.frameCount(limits: limits) }
        guard frames <= limits.maximumTensorFrames else {
            throw .oversize(
                what: "tensor frames", found: frames, limit: limits.maximumTensorFrames)
        }
    }
}
