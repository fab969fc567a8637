import Foundation
import ImageInput
import Tensors
import TestSupport
import Testing

@Suite("Reading PNGs", .watched)
struct PNGReaderTests {
    // MARK: - Pictures

    @Test("every kind of PNG is what Python says it is, in bands of any height")
    func kinds() throws {
        let scratch = try ScratchFolder()
        let goldens = try PictureGolden.all.get()
        #expect(goldens.count == 52)
        for golden in goldens {
            let path = try scratch.write(golden.png)
            for step in [1, 2, 5] {
                let reader = try PNGReader(path: path)
                #expect(reader.width == 7 && reader.height == 5)
                var values = [[Float]](repeating: [], count: 3)
                while reader.rowsLeft > 0 {
                    let band = try reader.read(rows: min(step, reader.rowsLeft))
                    for channel in 0..<3 {
                        let plane = band.height * band.width
                        values[channel] += band.values[channel * plane..<(channel + 1) * plane]
                    }
                }
                let worst = zip(values.joined(), golden.values).map { abs($0 - $1) }.max() ?? 1
                #expect(worst < 1e-6, "\(golden.name) in bands of \(step)")
            }
        }
    }

    // MARK: - What is no picture

    private func failure(_ path: String) -> String {
        do throws(ImageInputError) {
            let reader = try PNGReader(path: path)
            while reader.rowsLeft > 0 { _ = try reader.read(rows: 1) }
            return "nothing was thrown"
        } catch { return error.description }
    }

    @Test("what is missing, a directory, a pipe or a device is said to be that")
    func noFile() throws {
        let scratch = try ScratchFolder()
        #expect(failure("\(scratch.path)/none.png").contains("none.png is missing"))
        #expect(failure(scratch.path).contains("is a directory"))
        let pipe = "\(scratch.path)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(failure(pipe).contains("is a pipe"))
        #expect(failure("/dev/null").contains("is a device"))
    }

    @Test(
        "a file of another kind is said to start as that kind does",
        arguments: [
            ("FFD8FFE000104A464946", "a JPEG's bytes"), ("474946383961", "a GIF's bytes"),
            ("524946460000000057454250", "a WebP's bytes"), ("", "nothing, for it is empty"),
            ("6E6F2070696374757265", "\"no picture\""), ("0001FE", "the bytes 00 01 fe"),
            ("0000001C6674797061766966", "an AVIF's bytes"),
        ])
    func otherKinds(_ hexadecimal: String, _ start: String) throws {
        let scratch = try ScratchFolder()
        var bytes = Data()
        var rest = hexadecimal[...]
        while !rest.isEmpty {
            bytes.append(try #require(UInt8(rest.prefix(2), radix: 16)))
            rest = rest.dropFirst(2)
        }
        let sentence = failure(try scratch.write(bytes, "other.png"))
        #expect(sentence.contains("other.png starts with \(start); expected a PNG; convert it"))
    }

    @Test("a file that ends too early is refused, wherever it ends")
    func truncated() throws {
        let scratch = try ScratchFolder()
        for name in ["rgb 8", "palette 4 tRNS interlaced"] {
            let whole = try PictureGolden.named(name).png
            for count in 1..<whole.count {
                let sentence = failure(try scratch.write(whole.prefix(count)))
                #expect(
                    sentence.contains("picture.png cannot be read as a PNG: it ends in the middle"),
                    "\(count) of \(whole.count) bytes: \(sentence)")
            }
        }
    }

    @Test("a damaged byte is refused, wherever it is")
    func damaged() throws {
        let scratch = try ScratchFolder()
        let whole = try PictureGolden.named("rgba 16 interlaced").png
        for position in whole.indices.dropFirst(8) {
            var bytes = whole
            bytes[position] ^= 0x10
            let sentence = failure(try scratch.write(bytes))
            #expect(sentence.contains("picture.png cannot be read as a PNG: "), "byte \(position)")
        }
    }

    @Test("sides beyond the limit, and large interlaced pictures, are refused by their size")
    func limits() throws {
        let scratch = try ScratchFolder()
        func refusal(width: UInt32, height: UInt32, isInterlaced: Bool) throws -> String {
            failure(
                try scratch.write(
                    HeaderOnly(width: width, height: height, isInterlaced: isInterlaced).bytes))
        }
        #expect(
            try refusal(width: 65_537, height: 2, isInterlaced: false)
                .contains("it has 65537 x 2 pixels, the limit is 65536 on a side"))
        #expect(
            try refusal(width: 2_000_000_000, height: 2_000_000_000, isInterlaced: false)
                .contains("the limit is 65536"))
        #expect(
            try refusal(width: 4097, height: 4096, isInterlaced: true)
                .contains("save it without interlacing"))
        #expect(
            try refusal(width: 65_536, height: 65_536, isInterlaced: false)
                .contains("it ends in the middle"))
    }
}

/// The first chunk of an 8-bit RGB picture and the start of its pixels.
private struct HeaderOnly {
    let bytes: Data

    init(width: UInt32, height: UInt32, isInterlaced: Bool) {
        func bigEndian(_ number: UInt32) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
        }
        let body =
            Array("IHDR".utf8) + bigEndian(width) + bigEndian(height)
            + [8, 2, 0, 0, isInterlaced ? 1 : 0]
        bytes = Data(
            [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + bigEndian(13) + body
                + bigEndian(Self.crc(body)) + bigEndian(100) + Array("IDAT".utf8))
    }

    /// CRC-32 (PNG specification, annex D).
    private static func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}
