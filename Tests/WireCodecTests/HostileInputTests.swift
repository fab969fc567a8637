import ClusterCore
import Denoising
import Tensors
import TestSupport
import Testing
import WireCodec

/// SplitMix64 (Steele, Lea & Flood 2014).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A header frame whose preamble is right for its body.
func sealed(_ body: [UInt8]) -> [UInt8] {
    func bytes(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }
    return Array("TSRA".utf8) + [1, 0, 0, 0] + bytes(UInt32(body.count)) + bytes(CRC32C.of(body))
        + body
}

@Suite("WireCodec against hostile input", .watched, .timeLimit(.minutes(10)))
struct HostileInputTests {
    private func reject(
        _ frames: Frames,
        limits: Limits = .standard,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ matches: (WireError) -> Bool
    ) {
        do throws(WireError) {
            let message = try WireCodec.decode(frames, limits: limits).message
            Issue.record("accepted as \(message)", sourceLocation: sourceLocation)
        } catch {
            #expect(matches(error), "\(error)", sourceLocation: sourceLocation)
        }
    }

    private var ack: [UInt8] {
        get throws { try WireCodec.encode(.heartbeatAck(5), header: header)[0] }
    }

    @Test("nothing, an empty frame, a short frame, another magic")
    func notOurs() throws {
        let cases: [Frames] = [
            [], [[]], [Array("TSRA".utf8)], [Array(try ack[..<15])],
            [Array("HTTP".utf8) + (try ack[4...])], [Array("GET / HTTP/1.1\r\n\r\n".utf8)],
        ]
        for frames in cases { reject(frames) { if case .notOurs = $0 { true } else { false } } }
    }

    @Test("another major version is told apart from garbage, whatever follows")
    func major() throws {
        var frame = try ack
        frame[4] = 2
        frame[5] = 7
        frame[12] ^= 0xff
        reject([frame]) { $0 == .incompatible(WireVersion(major: 2, minor: 7)) }
    }

    @Test("another minor version of the same major is read")
    func minor() throws {
        var frame = try ack
        frame[5] = 200
        #expect(try WireCodec.decode([frame]).message == .heartbeatAck(5))
    }

    @Test("unknown flags are refused: they may change what follows")
    func flags() throws {
        var frame = try ack
        frame[7] = 1
        reject([frame]) { if case .malformed = $0 { true } else { false } }
    }

    @Test("an order or a list of jobs that is too long is refused")
    func longControlMessages() throws {
        let limits = Limits.control
        var generous = limits
        generous.maximumOrderBytes = .max
        generous.maximumControlEntries = .max
        let order = WireMessage.controlRequest(
            ControlRequest(
                number: 1,
                question: .submit(
                    id: "a", order: Array(repeating: 7, count: limits.maximumOrderBytes + 1))))
        let list = WireMessage.controlReply(
            ControlReply(
                number: 1,
                answer: .jobs(
                    Array(
                        repeating: JobStatus(id: "a", phase: .done, output: "/a"),
                        count: limits.maximumControlEntries + 1))))
        for message in [order, list] {
            let frames = try WireCodec.encode(message, header: header, limits: generous)
            reject(frames, limits: limits) { if case .oversize = $0 { true } else { false } }
        }
    }

    @Test("a low band that no view has is refused: without cells, or with more than the view")
    func lowBand() throws {
        func frames(_ height: Int, _ width: Int) throws -> Frames {
            let bands = BandSplit(highScale: 2, low: Extent(height: height, width: width))
            return try WireCodec.encode(
                .task(
                    attempt, denoise(views: 1, size: 3, bandSplit: bands),
                    conditioning: ContentDigest(88)),
                header: header)
        }
        for (height, width) in [(4, 4), (3, 5), (1 << 31, 1)] {
            reject(try frames(height, width)) { if case .malformed = $0 { true } else { false } }
        }
        let fitting = try frames(3, 4)
        let fields = try #require(fitting[0].firstRange(of: [0x10, 3, 0x18, 4]))
        for emptied in [fields.lowerBound + 1, fields.lowerBound + 3] {
            var body = Array(fitting[0][16...])
            body[emptied - 16] = 0
            reject([sealed(body)] + fitting.dropFirst()) {
                $0 == .malformed("a low band without extents")
            }
        }
    }

    @Test("a body that is too long is refused by its announced length")
    func oversizeBody() {
        var frame = sealed([])
        frame[10] = 2
        reject([frame]) {
            if case .oversize("body bytes", 131_072, 65_536) = $0 { true } else { false }
        }
        let real = sealed(Array(repeating: 0, count: 65_537))
        reject([real]) { if case .oversize = $0 { true } else { false } }
    }

    @Test("every truncation of every message is refused", arguments: everyMessage)
    func truncated(message: WireMessage) throws {
        let frames = try WireCodec.encode(message, header: header)
        for length in 0..<frames[0].count {
            reject([Array(frames[0][..<length])] + frames.dropFirst()) { _ in true }
        }
        for count in 1..<max(1, frames.count) {
            reject(Array(frames[..<count])) { if case .malformed = $0 { true } else { false } }
        }
        reject(frames + [[1, 2, 3]]) { if case .malformed = $0 { true } else { false } }
    }

    @Test("a flipped bit anywhere is noticed", arguments: everyMessage)
    func flipped(message: WireMessage) throws {
        let frames = try WireCodec.encode(message, header: header)
        var random = SeededGenerator(seed: 1)
        for _ in 0..<60 {
            var damaged = frames
            let frame = Int.random(in: 0..<frames.count, using: &random)
            let byte = Int.random(in: 0..<frames[frame].count, using: &random)
            // The minor version may differ.
            guard frame > 0 || byte != 5 else { continue }
            damaged[frame][byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            reject(damaged) { _ in true }
        }
    }

    @Test(
        "matrix row 40: random bodies under a right preamble never crash and never pass for tensors"
    )
    func randomBodies() {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<3000 {
            let count = Int.random(in: 0..<200, using: &random)
            let body = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = try? WireCodec.decode([sealed(body)])
        }
    }

    @Test("mutated bodies of real messages never crash", arguments: everyMessage)
    func mutated(message: WireMessage) throws {
        let frames = try WireCodec.encode(message, header: header)
        var random = SeededGenerator(seed: 3)
        for _ in 0..<300 {
            var body = Array(frames[0][16...])
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<body.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: body[at] = UInt8.random(in: 0...255, using: &random)
                case 1: body.insert(UInt8.random(in: 0...255, using: &random), at: at)
                default: if body.count > 1 { body.remove(at: at) }
                }
            }
            _ = try? WireCodec.decode([sealed(body)] + frames.dropFirst())
        }
    }

    @Test("matrix row 43: a protobuf bomb costs no more than its 64 KiB")
    func bomb() {
        // 32,000 empty tensor descriptors (field 4, length 0); as many views of nothing.
        reject([sealed(Array(repeating: [0x22, 0x00], count: 32_000).flatMap { $0 })]) {
            if case .oversize("tensors in a message", 32_000, 64) = $0 { true } else { false }
        }
        // Twenty thousand levels of a group-like unknown field.
        reject([sealed(Array(repeating: 0x0b, count: 20_000))]) { _ in true }
    }

    @Test("matrix row 43: no body of 64 KiB takes long, however its fields repeat")
    func fullBombs() {
        func field(_ key: [UInt8], _ content: [UInt8]) -> [UInt8] {
            let count = content.count
            let length =
                count < 128
                ? [UInt8(count)]
                : [UInt8(count & 127) | 128, UInt8(count >> 7 & 127) | 128, UInt8(count >> 14)]
            return key + length + content
        }
        func repeated(_ part: [UInt8], bytes: Int = 65_500) -> [UInt8] {
            Array(Array(repeating: part, count: bytes / part.count).joined())
        }
        let (taskKey, beatKey): ([UInt8], [UInt8]) = ([0xc2, 0x01], [0xe2, 0x01])
        let bombs: [[UInt8]] = [
            // Messages that protobuf merges, each with one more element of a list.
            repeated(field(taskKey, field([0x22], [0x22, 0x00]))),
            repeated(field(beatKey, [0x12, 0x00])),
            // One list of nothing, as long as it can be; one of packed numbers.
            field(beatKey, repeated([0x12, 0x00])),
            field(taskKey, field([0x22], repeated([0x22, 0x00]))),
            field(taskKey, field([0x22], field([0x22], field([0x0a], repeated([0]))))),
            field([0x22], field([0x1a], repeated([1]))),
            // Text of zeros, unknown fields, and two messages in turn.
            field([0x22], field([0x0a], repeated([0]))),
            repeated([0xf8, 0x7f, 0x01]),
            repeated(field(beatKey, []) + field(taskKey, [])),
        ]
        // Time that grows with the square of the length would be hours: the suite's limit is the proof.
        for body in bombs { _ = try? WireCodec.decode([sealed(body)]) }
    }

    @Test("a body without a message is of a kind this version does not know")
    func unknown() {
        reject([sealed([])]) { $0 == .unknownMessage }
        // Field 90, an empty message of some later version.
        reject([sealed([0xd2, 0x05, 0x00])]) { $0 == .unknownMessage }
    }

    @Test("text that is not UTF-8, or too long, is refused")
    func text() throws {
        // reject { reason: … }: field 18 of the envelope, field 2 of the message.
        func reason(_ bytes: [UInt8]) -> [UInt8] {
            func varint(_ value: Int) -> [UInt8] {
                value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128), UInt8(value >> 7)]
            }
            let inner = [0x12] + varint(bytes.count) + bytes
            return [0x92, 0x01] + varint(inner.count) + inner
        }
        #expect(throws: Never.self) { try WireCodec.decode([sealed(reason([0x41]))]) }
        reject([sealed(reason([0xff, 0xfe]))]) { if case .malformed = $0 { true } else { false } }
        reject([sealed(reason(Array(repeating: 0x41, count: 2001)))]) {
            if case .oversize("bytes of text", 2001, 2000) = $0 { true } else { false }
        }
    }
}

@Suite("Tensor descriptors that lie", .watched)
struct LyingDescriptorTests {
    /// An envelope with one tensor descriptor and a decoded tile as its message.
    private func frames(
        type: UInt8 = 2,
        shape: [[UInt8]] = [[2], [3], [3]],
        byteLength: [UInt8] = [18],
        checksum: UInt32? = nil,
        name: String = "pixels",
        payload: Frames = [Array(0..<18)]
    ) -> Frames {
        let crc = checksum ?? CRC32C.of(payload.flatMap { $0 })
        let packed = shape.flatMap { $0 }
        var descriptor: [UInt8] = [0x0a, UInt8(name.utf8.count)] + Array(name.utf8)
        descriptor += [0x10, type, 0x1a, UInt8(packed.count)] + packed
        descriptor += [0x20] + byteLength
        descriptor += [0x2d] + (0..<4).map { UInt8(truncatingIfNeeded: crc >> (8 * UInt32($0))) }
        // result { attempt { kind: decode, number: 1 } }
        let attempt: [UInt8] = [0x28, 2, 0x30, 1]
        let result: [UInt8] = [0x0a, UInt8(attempt.count)] + attempt
        let body: [UInt8] =
            [0x22, UInt8(descriptor.count)] + descriptor
            + [0xca, 0x01, UInt8(result.count)] + result
        return [sealed(body)] + payload
    }

    private func error(of frames: Frames) -> WireError? {
        do throws(WireError) {
            _ = try WireCodec.decode(frames)
            return nil
        } catch { return error }
    }

    @Test("the honest one is read")
    func honest() { #expect(error(of: frames()) == nil) }

    @Test("matrix row 22: an unknown element type")
    func elementType() {
        #expect(error(of: frames(type: 9))?.description.contains("type 9") == true)
    }

    @Test(
        "matrix row 22: shapes that are empty, too long, zero, too large, or overflow",
        arguments: [
            [], Array(repeating: [1], count: 6), [[0], [3], [3]],
            [[0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0x0f], [3]],
            [
                [0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0x0f],
                [0xff, 0xff, 0xff, 0xff, 0x0f],
            ],
        ] as [[[UInt8]]])
    func shape(shape: [[UInt8]]) { #expect(error(of: frames(shape: shape)) != nil) }

    @Test("matrix row 22: a byte length that is not the shape's")
    func byteLength() {
        #expect(
            error(of: frames(byteLength: [17]))?.description.contains("17 announced") == true)
    }

    @Test("frames that are shorter, longer, missing, or too many")
    func frameLengths() {
        for payload: Frames in [[Array(0..<17)], [Array(0..<19)], [], [Array(0..<18), []]] {
            guard case .malformed? = error(of: frames(payload: payload)) else {
                Issue.record("accepted \(payload.map(\.count))")
                continue
            }
        }
    }

    @Test("bytes that are not those of the checksum")
    func checksum() {
        #expect(error(of: frames(checksum: 1)) == .checksum("tensor 'pixels'"))
    }

    @Test("a tensor under another name, or of another shape than the message has")
    func otherTensor() {
        #expect(error(of: frames(name: "pixel2")) != nil)
        #expect(error(of: frames(shape: [[3], [3], [2]])) != nil)
        #expect(error(of: frames(shape: [[18]])) != nil)
    }

    @Test("conditioning whose content is not the announced one")
    func forgedAsset() throws {
        let honest = try WireCodec.encode(.asset(conditioning()), header: header)
        let other = try WireCodec.encode(.asset(conditioning(pooled: false)), header: header)
        var body = Array(honest[0][16...])
        // The fingerprint is the body's last eight bytes.
        body.replaceSubrange((body.count - 8)..., with: other[0].suffix(8))
        let error = self.error(of: [sealed(body)] + honest.dropFirst())
        #expect(error?.description.contains("announced as") == true)
    }
}
