internal import ClusterCore
internal import Tensors

/// The 16 bytes that let garbage be told from a message before any parser runs. Little-endian:
/// magic `TSRA`, major u8, minor u8, flags u16, body length u32, CRC-32C of the body u32.
enum Preamble {
    static let byteCount = 16
    static let magic: [UInt8] = Array("TSRA".utf8)

    /// The header frame for a body.
    static func frame(around body: [UInt8]) -> [UInt8] {
        var frame = magic
        frame.reserveCapacity(byteCount + body.count)
        frame.append(WireVersion.current.major)
        frame.append(WireVersion.current.minor)
        append(UInt16(0), to: &frame)
        append(UInt32(body.count), to: &frame)
        append(CRC32C.of(body), to: &frame)
        frame += body
        return frame
    }

    /// The body inside a header frame, checked in the order of the fields.
    static func body(of frame: [UInt8], limits: Limits) throws(WireError) -> [UInt8] {
        guard frame.count >= byteCount else {
            throw .notOurs("\(frame.count) bytes, a header frame has at least \(byteCount)")
        }
        guard Array(frame[..<4]) == magic else { throw .notOurs("it does not begin with TSRA") }
        guard frame[4] == WireVersion.current.major else {
            throw .incompatible(WireVersion(major: frame[4], minor: frame[5]))
        }
        let flags: UInt16 = read(frame, at: 6)
        guard flags == 0 else { throw .malformed("unknown flags \(flags) in the preamble") }
        let length = Int(read(frame, at: 8) as UInt32)
        guard length <= limits.maximumBodyBytes else {
            throw .oversize(what: "body bytes", found: length, limit: limits.maximumBodyBytes)
        }
        guard frame.count == byteCount + length else {
            throw .malformed(
                "the preamble promises a body of \(length) bytes, \(frame.count - byteCount) came")
        }
        let body = Array(frame[byteCount...])
        guard CRC32C.of(body) == read(frame, at: 12) else { throw .checksum("the body") }
        return body
    }

    private static func append<Value: FixedWidthInteger>(_ value: Value, to bytes: inout [UInt8]) {
        for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    private static func read<Value: FixedWidthInteger>(_ bytes: [UInt8], at offset: Int) -> Value {
        var value = Value.zero
        for index in 0..<(Value.bitWidth / 8) {
            value |= Value(bytes[offset + index]) << Value(8 * index)
        }
        return value
    }
}
