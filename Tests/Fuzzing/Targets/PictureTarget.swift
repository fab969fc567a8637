import Glibc
import ImageInput
import Tensors

/// Any PNG: it is refused, or all its rows have numbers between 0 and 1.
enum PictureTarget: FuzzTarget {
    /// One file without a name, written anew for each input.
    private static let descriptor: Int32 = {
        var name = Array("/tmp/tessera-fuzz-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        unlink(name)
        return descriptor
    }()
    private static let path = "/proc/self/fd/\(descriptor)"

    /// The first byte says whether the chunks behind it get right checksums, which no mutation
    /// guesses.
    static func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let rest = Array(input.dropFirst())
        let file = first % 2 == 0 ? rest : withRightChecksums(rest)
        guard ftruncate(descriptor, 0) == 0,
            pwrite(descriptor, file, file.count, 0) == file.count
        else { broken("the system has no room for \(file.count) bytes") }
        guard let reader = try? PNGReader(path: path) else { return }
        while reader.rowsLeft > 0 {
            guard let band = try? reader.read(rows: min(reader.rowsLeft, 3)) else { return }
            guard band.values.allSatisfy({ $0 >= 0 && $0 <= 1 }) else {
                broken("a value that is not in 0 ... 1")
            }
        }
    }

    private static func withRightChecksums(_ bytes: [UInt8]) -> [UInt8] {
        var (bytes, start) = (bytes, 8)
        while start + 12 <= bytes.count {
            let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            let end = start + 8 + length
            guard end + 4 <= bytes.count else { break }
            let crc = crc(bytes[start + 4..<end])
            for index in 0..<4 {
                bytes[end + index] = UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * index))
            }
            start = end + 4
        }
        return bytes
    }

    /// CRC-32 (PNG specification, annex D).
    private static func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        ~bytes.reduce(0xFFFF_FFFF) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in
                crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1
            }
        }
    }

    /// Pixels as they are stored, uncompressed: 4×2 of one channel, 8 bits, interlaced or not.
    private static func picture(kind: UInt8, isInterlaced: Bool, _ data: [UInt8]) -> [UInt8] {
        func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
            [0, 0, 0, UInt8(data.count)] + Array(name.utf8) + data + [0, 0, 0, 0]
        }
        let count = UInt8(data.count)
        let header: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 2, 8, kind, 0, 0, isInterlaced ? 1 : 0]
        return [1, 0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", header)
            + chunk("PLTE", [0, 0, 0, 9, 9, 9]) + chunk("tRNS", [0, 128])
            // zlib, one stored block, and an Adler-32 that a mutation may leave wrong.
            + chunk("IDAT", [0x78, 1, 1, count, 0, ~count, 0xFF] + data + [0, 0, 0, 0])
            + chunk("IEND", [])
    }

    static var seeds: [String: [UInt8]] {
        [
            "palette": picture(kind: 3, isInterlaced: false, [0, 0, 1, 0, 1, 1, 1, 0, 0, 1]),
            "interlaced": picture(
                kind: 3, isInterlaced: true, [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0]),
            "hostile-palette": picture(
                kind: 3, isInterlaced: false, [0, 200, 201, 202, 203, 4, 255, 255, 255, 255]),
        ]
    }
}
