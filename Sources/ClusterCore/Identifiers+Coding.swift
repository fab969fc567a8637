// How names are written down, in event logs for instance: as one string or number each, in the
// form that people know them by. 64-bit values are hexadecimal strings, because many programs
// read JSON numbers as doubles.

extension Epoch: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(UInt64.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}

extension JobID: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(try Hexadecimal(from: decoder).value)
    }
    package func encode(to encoder: any Encoder) throws {
        try Hexadecimal(value: value).encode(to: encoder)
    }
}

extension Realm: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(try Hexadecimal(from: decoder).value)
    }
    package func encode(to encoder: any Encoder) throws {
        try Hexadecimal(value: value).encode(to: encoder)
    }
}

extension ContentDigest: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(try Hexadecimal(from: decoder).value)
    }
    package func encode(to encoder: any Encoder) throws {
        try Hexadecimal(value: value).encode(to: encoder)
    }
}

extension PeerID: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let digits = Array(try container.decode(String.self).utf8)
        let pairs = stride(from: 0, to: digits.count - digits.count % 2, by: 2)
        let bytes = pairs.compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
        guard bytes.count * 2 == digits.count else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "an address is written as hexadecimal digits")
        }
        self.init(bytes: bytes)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }
}

/// A 64-bit value as text.
private struct Hexadecimal: Codable {
    let value: UInt64

    init(value: UInt64) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let value = UInt64(try container.decode(String.self), radix: 16) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "up to 16 hexadecimal digits are expected")
        }
        self.value = value
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(String(value, radix: 16))
    }
}
