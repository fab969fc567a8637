internal import ClusterCore
internal import Tensors

/// A dense array as it travels: described in the body, its bytes in frames of their own.
struct WireTensor: Equatable, Sendable {
    /// Elements, row-major.
    enum Elements: Equatable, Sendable {
        case float32([Float])
        case uint8([UInt8])
    }

    let name: String
    /// Extents, outermost first.
    let shape: [Int]
    let elements: Elements
}

/// What the body says about a tensor, checked before its frames are looked at.
struct TensorDescription: Equatable, Sendable {
    enum ElementType: UInt32, Sendable {
        case float32 = 1
        case uint8 = 2

        var byteCount: Int {
            switch self {
            case .float32: 4
            case .uint8: 1
            }
        }
    }

    let name: String
    let elementType: ElementType
    let shape: [Int]
    let byteLength: Int
    let checksum: UInt32

    /// Refuses what contradicts itself or a limit.
    init(
        name: String,
        elementType: UInt32,
        shape: [Int],
        byteLength: UInt64,
        checksum: UInt32,
        limits: Limits
    ) throws(WireError) {
        guard let type = ElementType(rawValue: elementType) else {
            throw .malformed("tensor '\(name)' has the unknown element type \(elementType)")
        }
        guard (1...limits.maximumRank).contains(shape.count) else {
            throw .oversize(
                what: "axes of tensor '\(name)'", found: shape.count, limit: limits.maximumRank)
        }
        let maximumBytes = limits.maximumFrameBytes * limits.maximumTensorFrames
        var bytes = type.byteCount
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard extent > 0, !overflow, product <= maximumBytes else {
                throw .malformed("tensor '\(name)' has the impossible shape \(shape)")
            }
            bytes = product
        }
        guard byteLength == UInt64(bytes) else {
            throw .malformed(
                "tensor '\(name)' of shape \(shape) has \(bytes) bytes, \(byteLength) announced")
        }
        self.name = name
        self.elementType = type
        self.shape = shape
        self.byteLength = bytes
        self.checksum = checksum
    }

    /// Describes a tensor that is about to be sent.
    init(of tensor: WireTensor) {
        name = tensor.name
        shape = tensor.shape
        let count = tensor.shape.reduce(1, *)
        switch tensor.elements {
        case .float32(let values):
            precondition(values.count == count, "tensor '\(tensor.name)' does not fill its shape")
            elementType = .float32
            checksum = CRC32C.of(values)
        case .uint8(let values):
            precondition(values.count == count, "tensor '\(tensor.name)' does not fill its shape")
            elementType = .uint8
            checksum = CRC32C.of(values)
        }
        byteLength = count * elementType.byteCount
    }

    /// Frames that the tensor is cut into.
    func frameCount(limits: Limits) -> Int {
        (byteLength + limits.maximumFrameBytes - 1) / limits.maximumFrameBytes
    }
}

/// Tensors to frames and back.
enum TensorCodec {
    /// Frames of at most `maximumFrameBytes`, all full but the last.
    static func frames(of tensor: WireTensor, limits: Limits) -> Frames {
        switch tensor.elements {
        case .float32(let values):
            unsafe values.withUnsafeBytes { unsafe cut($0, limits.maximumFrameBytes) }
        case .uint8(let values):
            unsafe values.withUnsafeBytes { unsafe cut($0, limits.maximumFrameBytes) }
        }
    }

    private static func cut(_ bytes: UnsafeRawBufferPointer, _ size: Int) -> Frames {
        stride(from: 0, to: bytes.count, by: size).map { start in
            unsafe Array(bytes[start..<min(start + size, bytes.count)])
        }
    }

    /// Tensors out of the frames after the header. Counts and lengths are checked before anything
    /// is allocated.
    static func tensors(
        _ descriptions: [TensorDescription],
        from frames: ArraySlice<[UInt8]>,
        limits: Limits
    ) throws(WireError) -> [WireTensor] {
        var rest = frames
        for description in descriptions {
            var missing = description.byteLength
            for _ in 0..<description.frameCount(limits: limits) {
                let expected = min(missing, limits.maximumFrameBytes)
                guard let frame = rest.popFirst() else {
                    throw .malformed("frames of tensor '\(description.name)' are missing")
                }
                guard frame.count == expected else {
                    throw .malformed(
                        "a frame of tensor '\(description.name)' has \(frame.count) bytes instead "
                            + "of \(expected)")
                }
                missing -= expected
            }
        }
        guard rest.isEmpty else { throw .malformed("\(rest.count) frames belong to no tensor") }

        rest = frames
        var tensors: [WireTensor] = []
        for description in descriptions {
            let count = description.frameCount(limits: limits)
            tensors.append(try tensor(description, from: rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return tensors
    }

    private static func tensor(
        _ description: TensorDescription,
        from frames: ArraySlice<[UInt8]>
    ) throws(WireError) -> WireTensor {
        var checksum = CRC32C()
        for frame in frames {
            unsafe frame.withUnsafeBytes { unsafe checksum.update($0) }
        }
        guard checksum.value == description.checksum else {
            throw .checksum("tensor '\(description.name)'")
        }
        let elements: WireTensor.Elements
        switch description.elementType {
        case .float32:
            elements = .float32(joined(frames, bytes: description.byteLength))
        case .uint8:
            elements = .uint8(
                frames.count == 1 ? frames[frames.startIndex] : Array(frames.joined()))
        }
        return WireTensor(name: description.name, shape: description.shape, elements: elements)
    }

    private static func joined(_ frames: ArraySlice<[UInt8]>, bytes: Int) -> [Float] {
        let count = bytes / MemoryLayout<Float>.size
        return unsafe [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            let target = UnsafeMutableRawBufferPointer(buffer)
            var offset = 0
            for frame in frames {
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset...])
                    .copyBytes(from: frame)
                offset += frame.count
            }
            precondition(offset == bytes, "frame lengths were checked")
            initialized = count
        }
    }
}
