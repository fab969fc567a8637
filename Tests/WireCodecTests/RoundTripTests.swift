import ClusterCore
import Denoising
import Tensors
import TestSupport
import Testing
import WireCodec

@Suite("WireCodec round trips", .watched)
struct RoundTripTests {
    @Test("every message comes back as it went", arguments: everyMessage)
    func everything(message: WireMessage) throws {
        let frames = try WireCodec.encode(message, header: header)
        let (readHeader, readMessage) = try WireCodec.decode(frames)
        #expect(readHeader == header)
        #expect(readMessage == message)
    }

    @Test("values that are not finite travel bit by bit")
    func notFinite() throws {
        var odd = latent(1, 1, 4)
        odd.values = [.nan, -.infinity, -0.0, .leastNonzeroMagnitude]
        let frames = try WireCodec.encode(
            .result(attempt, .denoise([odd]), question: ContentDigest(1), computeTime: .zero),
            header: header)
        guard
            case .result(_, .denoise(let predictions), _, _) = try WireCodec.decode(frames).message
        else {
            Issue.record("another message came back")
            return
        }
        #expect(predictions[0].values.map(\.bitPattern) == odd.values.map(\.bitPattern))
    }

    @Test("a header frame is laid out as proto/README.md says")
    func layout() throws {
        let frames = try WireCodec.encode(.heartbeatAck(5), header: header)
        #expect(frames.count == 1)
        let frame = frames[0]
        #expect(Array(frame[..<4]) == Array("TSRA".utf8))
        #expect(frame[4] == 1)
        #expect(frame[5] == 5)
        #expect(Array(frame[6..<8]) == [0, 0])
        let length = frame[8..<12].reversed().reduce(0) { $0 << 8 | Int($1) }
        #expect(length == frame.count - 16)
        let checksum = frame[12..<16].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        #expect(checksum == CRC32C.of(Array(frame[16...])))
        // protobuf: field 1 varint 17, fields 2, 3 and 5 fixed64, field 29 of one byte pair.
        #expect(
            Array(frame[16...]) == [
                0x08, 17,
                0x11, 3, 0, 0, 0, 0, 0, 0, 0,
                0x19, 0x67, 0x45, 0x23, 0x01, 0xef, 0xbe, 0xed, 0xfe,
                0x29, 8, 7, 6, 5, 4, 3, 2, 1,
                0xea, 0x01, 2, 0x08, 5,
            ])
    }

    @Test("guidance of one strength leaves no byte of another's on the wire")
    func oneStrength() throws {
        func body(_ bands: BandSplit?) throws -> [UInt8] {
            let task = WireMessage.task(
                attempt, denoise(views: 1, bandSplit: bands), conditioning: ContentDigest(88))
            return Array(try WireCodec.encode(task, header: header)[0][16...])
        }
        let bands = BandSplit(highScale: 2, low: Extent(height: 3, width: 1))
        // Field 5 of 13 bytes: a double, 3 and 1.
        let field: [UInt8] = [0x2a, 13, 0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 3, 0x18, 1]
        let (plain, split) = (try body(nil), try body(bands))
        #expect(split.count == plain.count + field.count)
        #expect(split.firstRange(of: field) != nil)
        #expect(plain.firstRange(of: field) == nil)
    }

    @Test("a tensor larger than a frame is split, every frame but the last full")
    func splitting() throws {
        var limits = Limits()
        limits.maximumFrameBytes = 100
        let message = WireMessage.result(
            decodeAttempt,
            .decode(RGBTile(height: 10, width: 9, bytes: (0..<270).map { UInt8($0 % 256) })),
            question: ContentDigest(1), computeTime: .zero)
        let frames = try WireCodec.encode(message, header: header, limits: limits)
        #expect(frames.dropFirst().map(\.count) == [100, 100, 70])
        #expect(try WireCodec.decode(frames, limits: limits).message == message)
        // Floats may be cut in the middle of an element.
        limits.maximumFrameBytes = 30
        let task = WireMessage.task(
            attempt, denoise(views: 2, size: 2), conditioning: ContentDigest(1))
        let cut = try WireCodec.encode(task, header: header, limits: limits)
        #expect(cut.count == 1 + 2 * 4)
        #expect(try WireCodec.decode(cut, limits: limits).message == task)
    }

    @Test("a frame holds at most 1 MiB")
    func frameLimit() throws {
        let large = RGBTile(
            height: 700, width: 700, bytes: Array(repeating: 7, count: 700 * 700 * 3))
        let frames = try WireCodec.encode(
            .result(decodeAttempt, .decode(large), question: ContentDigest(1), computeTime: .zero),
            header: header)
        #expect(frames.dropFirst().map(\.count) == [1 << 20, 1_470_000 - (1 << 20)])
    }

    @Test("what is too large to travel is said before it is sent")
    func oversizeItem() {
        #expect(throws: WireError.self) { try WireCodec.check(denoise(views: 65, size: 1)) }
        #expect(throws: Never.self) { try WireCodec.check(denoise(views: 64, size: 1)) }
    }

    @Test("numbers that the wire has no room for are an error, not a trap")
    func unsendableNumbers() {
        func task(index: Int, cropTop: Int) -> WorkItem {
            let micro = MicroConditioning(timeIDs: [8, 8, cropTop, 0, 8, 8])
            let view = ViewInput(sample: latent(1, 1, 1), microConditioning: micro)
            return .denoise(
                DenoiseTask(index: index, step: 0, timestep: 1, guidanceScale: 1, views: [view]))
        }
        for item in [
            task(index: -1, cropTop: 0), task(index: 1 << 32, cropTop: 0),
            task(index: 0, cropTop: 1 << 31), task(index: 0, cropTop: -(1 << 31) - 1),
        ] {
            #expect(throws: WireError.self) { try WireCodec.check(item) }
            #expect(throws: WireError.self) {
                try WireCodec.encode(
                    .task(attempt, item, conditioning: ContentDigest(0)), header: header)
            }
        }
        #expect(throws: Never.self) { try WireCodec.check(task(index: 0, cropTop: -(1 << 31))) }
    }

    @Test("long reasons are cut, not refused by the reader")
    func longReason() throws {
        let long = String(repeating: "é", count: 5000)
        let frames = try WireCodec.encode(
            .failure(attempt, TaskFailure(code: .compute, reason: long)), header: header)
        let message = try WireCodec.decode(frames).message
        let decoded: TaskFailure? =
            if case .failure(_, let failure) = message { failure } else { nil }
        let failure = try #require(decoded)
        #expect(long.hasPrefix(failure.reason))
        #expect(failure.reason.count > 500)
    }
}
