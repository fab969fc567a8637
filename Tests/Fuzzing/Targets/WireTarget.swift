import ClusterCore
import WireCodec

/// Any frames: they decode to a message or to an error. What decodes can be encoded, and that
/// decodes to the same.
enum WireTarget: FuzzTarget {
    static let isRecordStream = true

    static func run(_ input: [UInt8]) {
        let frames = WireInput.frames(input)
        guard let (header, message) = try? WireCodec.decode(frames) else { return }
        do throws(WireError) {
            let once = try WireCodec.encode(message, header: header)
            let (again, copy) = try WireCodec.decode(once)
            // By bytes: a value that is not a number differs from itself.
            let twice = try WireCodec.encode(copy, header: again)
            guard header == again, once == twice else { broken("\(message) came back as \(copy)") }
        } catch {
            broken("\(message) was decoded and cannot travel again: \(error)")
        }
    }

    static var seeds: [String: [UInt8]] { MessageSeeds.all.merging(hostile) { $1 } }

    /// Messages that nobody sends by accident.
    private static var hostile: [String: [UInt8]] {
        func body(_ bytes: [UInt8], tensors: Frames = []) -> [UInt8] {
            WireInput.bytes([WireInput.seal(bytes)] + tensors, mode: WireInput.sealed)
        }
        func field(_ key: [UInt8], _ content: [UInt8]) -> [UInt8] {
            key + WireInput.varint(UInt64(content.count)) + content
        }
        let largest: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0x0f]
        let resultKey: [UInt8] = [0xca, 0x01]
        let decodeResult = field(resultKey, field([0x0a], [0x28, 2, 0x30, 1]))
        func tensor(_ shape: [UInt8], type: UInt8 = 1, name: String = "pixels") -> [UInt8] {
            field([0x22], field([0x0a], Array(name.utf8)) + [0x10, type] + field([0x1a], shape))
                + decodeResult
        }
        return [
            "hostile-bomb-of-descriptors": body(
                Array(repeating: [0x22, 0x00], count: 2000).flatMap { $0 }),
            "hostile-bomb-of-views": body(
                field(
                    [0xc2, 0x01],
                    field([0x22], Array(repeating: [0x22, 0x00], count: 2000).flatMap { $0 }))),
            "hostile-group-nesting": body(Array(repeating: 0x0b, count: 2000)),
            "hostile-message-twice": body(
                Array(repeating: decodeResult, count: 20).flatMap { $0 }),
            "hostile-two-messages": body(decodeResult + field([0xea, 0x01], [0x08, 5])),
            "hostile-unknown-fields": body(
                Array(repeating: [0xf8, 0x7f, 0x01], count: 500).flatMap { $0 }),
            "hostile-rank-6": body(tensor([1, 1, 1, 1, 1, 1]), tensors: [[0, 0, 0, 0]]),
            "hostile-overflowing-shape": body(tensor(largest + largest + largest)),
            "hostile-zero-extent": body(tensor([0, 3, 3]), tensors: [[]]),
            "hostile-lying-length": body(
                field(
                    [0x22], [0x10, 2, 0x1a, 3, 2, 3, 3, 0x20, 0xff, 0xff, 0xff, 0xff, 0x7f])
                    + decodeResult, tensors: [Array(0..<18)]),
            "hostile-http": WireInput.bytes([Array("GET / HTTP/1.1\r\n\r\n".utf8)], mode: 0),
            "hostile-length-field": WireInput.bytes(
                [Array("TSRA".utf8) + [1, 0, 0, 0] + largest.prefix(4) + [0, 0, 0, 0]], mode: 0),
        ]
    }
}
