internal import Denoising
internal import DurableFiles
internal import Foundation
internal import Tensors

/// The first 32 bytes of a journal, little-endian: magic `TSRJ`, layout, run, latent, count of
/// tiles, CRC-32C of what precedes, spare.
struct TileJournalHeader {
    static let length = 32
    private static let magic: UInt32 = 0x4A52_5354
    /// Raised when journals of before are of no use: 1 had tiles of other places, and black ones
    /// where the autoencoder had given no finite numbers.
    private static let layout: UInt32 = 2

    let bytes: [UInt8]

    init(_ binding: TileJournal.Binding) {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: Self.magic)
        bytes.append(littleEndian: Self.layout)
        let run = Fingerprint(binding.run)?.value ?? 0
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: run))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: run >> 32))
        bytes.append(littleEndian: binding.latent)
        bytes.append(littleEndian: UInt32(clamping: binding.tiles))
        bytes.append(littleEndian: CRC32C.of(bytes))
        bytes.append(littleEndian: 0)
        self.bytes = bytes
    }
}

/// What precedes a tile's pixels, little-endian: magic `TILE`, index, height, width, count of
/// bytes, CRC-32C of the pixels, CRC-32C of what precedes.
struct TileRecordHeader: Equatable {
    static let length = 28
    private static let magic: UInt32 = 0x454C_4954

    let index: Int
    /// In pixels.
    let height: Int
    let width: Int
    let byteCount: Int
    /// Of the pixels.
    let checksum: UInt32

    init(_ tile: RGBTile, index: Int) {
        self.index = index
        height = tile.height
        width = tile.width
        byteCount = tile.bytes.count
        checksum = CRC32C.of(tile.bytes)
    }

    /// Parses 28 bytes; nil when they are no header that was written whole.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.length, bytes.littleEndian(at: 0) == Self.magic,
            bytes.littleEndian(at: 24) == CRC32C.of(Array(bytes[..<24]))
        else { return nil }
        index = Int(bytes.littleEndian(at: 4))
        height = Int(bytes.littleEndian(at: 8))
        width = Int(bytes.littleEndian(at: 12))
        byteCount = Int(bytes.littleEndian(at: 16))
        checksum = bytes.littleEndian(at: 20)
        // The largest numbers of 32 bits would not fit when multiplied.
        let (pixels, overflows) = height.multipliedReportingOverflow(by: width)
        guard !overflows, pixels <= byteCount, byteCount == pixels * 3 else { return nil }
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: Self.magic)
        for value in [index, height, width, byteCount] {
            bytes.append(littleEndian: UInt32(clamping: value))
        }
        bytes.append(littleEndian: checksum)
        bytes.append(littleEndian: CRC32C.of(bytes))
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: UInt32) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
            append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    fileprivate func littleEndian(at offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << UInt32(8 * $1) }
    }
}

/// An open file, read and written at places in it.
struct PositionedFile {
    private let descriptor: Int32
    private let path: String

    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    func size() throws(FileFailure) -> Int {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .ofLastCall(path: path) }
        return Int(status.st_size)
    }

    func truncate(_ length: Int) throws(FileFailure) {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw .ofLastCall(path: path) }
    }

    /// Exactly `count` bytes; a file that ends before is an error.
    func read(at offset: Int, count: Int) throws(FileFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe pread(
                    descriptor, buffer.baseAddress! + done, count - done, off_t(offset + done))
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                throw got == 0
                    ? FileFailure(path: path, code: EIO, reason: "it ends too early")
                    : .ofLastCall(path: path)
            }
            done += got
        }
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(FileFailure) {
        var done = 0
        while done < bytes.count {
            let put = unsafe bytes.withUnsafeBytes { buffer in
                unsafe pwrite(
                    descriptor, buffer.baseAddress! + done, bytes.count - done,
                    off_t(offset + done))
            }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw .ofLastCall(path: path) }
            done += put
        }
    }
}
