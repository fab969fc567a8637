import ClusterCore
import Tensors

/// A message as a fuzz input: one record per frame. The first one's tag says how much of it is
/// put right before it is decoded, because no mutation ever guesses a checksum:
/// bit 0: the first record is a bare body, and gets its preamble;
/// bit 1: descriptors get the length and the checksum of their tensors, and tensors the length
/// that the descriptor's shape asks for.
enum WireInput {
    static let sealed: UInt8 = 1
    static let repaired: UInt8 = 3

    static func frames(_ input: some Sequence<UInt8>) -> Frames {
        let records = RecordStream.read(input)
        guard let first = records.first else { return [] }
        guard first.tag & 1 != 0 else { return records.map(\.bytes) }
        var (body, tensors) = (first.bytes, records.dropFirst().map(\.bytes))
        if first.tag & 2 != 0 { body = repair(body, &tensors) }
        return [seal(body)] + tensors
    }

    /// The input from which `frames` makes these frames.
    static func bytes(_ frames: Frames, mode: UInt8 = repaired) -> [UInt8] {
        RecordStream.write(
            frames.enumerated().map { index, frame in
                let bytes = index == 0 && mode & 1 != 0 ? Array(frame.dropFirst(16)) : frame
                return RecordStream.Record(tag: index == 0 ? mode : 0, bytes: bytes)
            })
    }

    /// The header frame of a body: proto/README.md.
    static func seal(_ body: [UInt8]) -> [UInt8] {
        Array("TSRA".utf8) + [1, 0, 0, 0] + littleEndian(UInt32(body.count))
            + littleEndian(CRC32C.of(body)) + body
    }

    static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    // MARK: Putting descriptors right

    private static let largestTensor = 1 << 14

    private static func repair(_ body: [UInt8], _ tensors: inout Frames) -> [UInt8] {
        var output: [UInt8] = []
        var position = 0
        var index = 0
        for field in ProtobufFields(body) {
            let raw = body[position..<field.end]
            position = field.end
            guard field.number == 4, case .bytes(let descriptor) = field.value,
                let wanted = byteCount(of: descriptor), tensors.indices.contains(index)
            else {
                output += raw
                continue
            }
            tensors[index] = resized(tensors[index], to: wanted)
            let description = described(descriptor, tensors[index])
            output += [0x22] + varint(UInt64(description.count)) + description
            index += 1
        }
        return output + body[position...]
    }

    private static func resized(_ bytes: [UInt8], to count: Int) -> [UInt8] {
        bytes.count >= count
            ? Array(bytes[..<count]) : bytes + [UInt8](repeating: 0, count: count - bytes.count)
    }

    /// What the descriptor's shape and type ask for; nil when that is nothing or a lot.
    private static func byteCount(of descriptor: [UInt8]) -> Int? {
        var type: UInt64 = 0
        var extents: [UInt64] = []
        for field in ProtobufFields(descriptor) {
            switch (field.number, field.value) {
            case (2, .number(let value)): type = value
            case (3, .number(let value)): extents.append(value)
            case (3, .bytes(let packed)): extents += ProtobufFields.varints(packed)
            default: break
            }
        }
        guard type == 1 || type == 2, !extents.isEmpty else { return nil }
        var count = type == 1 ? 4 : 1
        for extent in extents {
            guard extent > 0, extent <= UInt64(largestTensor) else { return nil }
            count *= Int(extent)
            guard count <= largestTensor else { return nil }
        }
        return count
    }

    private static func described(_ descriptor: [UInt8], _ tensor: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        var position = 0
        for field in ProtobufFields(descriptor) {
            if field.number != 4 && field.number != 5 { output += descriptor[position..<field.end] }
            position = field.end
        }
        return output + [0x20] + varint(UInt64(tensor.count)) + [0x2d]
            + littleEndian(CRC32C.of(tensor))
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// The fields of a protobuf message, as far as it is well formed.
struct ProtobufFields: Sequence, IteratorProtocol {
    enum Value {
        case number(UInt64)
        case bytes([UInt8])
        case fixed
    }

    struct Field {
        let number: UInt64
        let value: Value
        /// Where the next field begins.
        let end: Int
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func varints(_ bytes: [UInt8]) -> [UInt64] {
        var fields = ProtobufFields(bytes)
        var values: [UInt64] = []
        while let value = fields.varint() { values.append(value) }
        return values
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard position < bytes.count else { return nil }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    mutating func next() -> Field? {
        guard let key = varint() else { return nil }
        let value: Value
        switch key & 7 {
        case 0:
            guard let number = varint() else { return nil }
            value = .number(number)
        case 1, 5:
            position += key & 7 == 1 ? 8 : 4
            value = .fixed
        case 2:
            guard let count = varint(), count <= UInt64(bytes.count - position) else { return nil }
            value = .bytes(Array(bytes[position..<(position + Int(count))]))
            position += Int(count)
        default: return nil
        }
        guard position <= bytes.count else { return nil }
        return Field(number: key >> 3, value: value, end: position)
    }
}
