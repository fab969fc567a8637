internal import Glibc

/// Paths between the system, which takes any bytes but NUL, and this program, whose texts are
/// Unicode.
///
/// A byte that is no part of valid UTF-8 stands in a text as the private character U+10FE00 + byte,
/// so that every path comes back as it was. Those characters themselves, of which nobody else makes
/// use, stand as their four bytes.
package enum SystemPath {
    private static let base: UInt32 = 0x10_FE00

    /// The path, or what else the system tells, as text.
    package static func text(of bytes: some Collection<UInt8>) -> String {
        if let text = String(validating: bytes, as: UTF8.self), isUTF8(text) {
            return text
        }
        var scalars = String.UnicodeScalarView()
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            var (parser, source) = (Unicode.UTF8.ForwardParser(), rest.makeIterator())
            if case .valid(let encoded) = parser.parseScalar(from: &source),
                case let scalar = UTF8.decode(encoded), byte(of: scalar) == nil
            {
                scalars.append(scalar)
                rest.removeFirst(encoded.count)
            } else {
                // Always a scalar: neither the first nor the last byte gives a surrogate.
                scalars.append(Unicode.Scalar(base + UInt32(rest.removeFirst()))!)
            }
        }
        return String(scalars)
    }

    /// The same of what ends with a NUL.
    package static func text(ofCString start: UnsafePointer<CChar>) -> String {
        unsafe text(
            of: UnsafeBufferPointer(start: start, count: strlen(start)).map(UInt8.init(bitPattern:))
        )
    }

    /// What the system calls what `text` stands for.
    package static func bytes(of text: String) -> [UInt8] {
        guard !isUTF8(text) else { return Array(text.utf8) }
        return text.unicodeScalars.flatMap { scalar in
            byte(of: scalar).map { [$0] } ?? Array(String(scalar).utf8)
        }
    }

    /// ``bytes(of:)`` with the NUL that C wants behind them.
    package static func cString(_ text: String) -> [CChar] {
        bytes(of: text).map(CChar.init(bitPattern:)) + [0]
    }

    /// Whether the path has bytes that are not UTF-8.
    package static func isUTF8(_ text: String) -> Bool {
        !text.unicodeScalars.contains { byte(of: $0) != nil }
    }

    /// The byte that a private character stands for.
    private static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        guard scalar.value >= base + 0x80, scalar.value <= base + 0xFF else { return nil }
        return UInt8(scalar.value - base)
    }
}
