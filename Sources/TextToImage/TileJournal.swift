package import Denoising
internal import Dispatch
internal import DurableFiles
internal import Foundation
internal import Locking
internal import Tensors

/// The tiles of one finished latent that are decoded: an append-only file, so that a tile that
/// was decoded is not decoded again whatever becomes of the process. Holds where tiles lie,
/// never the tiles.
///
/// A file of a 32-byte header (``Binding``) and one record per tile in the order of their
/// coming: 28 bytes of header with checksums of itself and of the pixels, then the pixels.
/// A record that is cut short ends the journal; pixels that do not fit their checksum are as
/// good as none.
package final class TileJournal: Sendable {
    /// What a journal belongs to.
    struct Binding: Equatable, Sendable {
        let run: String
        /// CRC-32C of the latent's values.
        let latent: UInt32
        let tiles: Int
    }

    fileprivate struct Entry {
        let header: TileRecordHeader
        /// Position of the pixels in the file.
        let offset: Int
    }

    fileprivate struct State {
        var entries: [Int: Entry] = [:]
        /// Where the next record goes; 0 before the file has its header.
        var end: Int
        var unsynced = 0
        var isSyncing = false
        var trouble = TroubleGate()
    }

    private let path: String
    private let binding: Binding
    private let syncEvery: Int
    private let session: StateSession
    private let descriptor: Int32
    private let state: Lock<State>
    private let writing = DispatchQueue(label: "tessera.journal")
    private let syncing = DispatchQueue(label: "tessera.journal.sync")

    /// Opens the journal at `path`, or begins it anew when it is of something else. Brings it to
    /// disk every `syncEvery` tiles. Nil, and said, when the disk refuses.
    init?(path: String, binding: Binding, syncEvery: Int, session: StateSession) {
        self.path = path
        self.binding = binding
        self.syncEvery = max(1, syncEvery)
        self.session = session
        descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        state = Lock(State(end: 0))
        do {
            guard descriptor >= 0 else { throw FileFailure.ofLastCall(path: path) }
            try load()
        } catch {
            session.announce(
                .failed(StateWrite(kind: .journal, step: 0), reason: reasonText(error)))
            return nil
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Tiles that the journal holds.
    package var count: Int { state.withLock { $0.entries.count } }

    /// Whether the journal has a record of the tile, whatever its pixels are worth.
    package func holds(_ index: Int) -> Bool { state.withLock { $0.entries[index] != nil } }

    /// A tile of these extents in pixels; nil when it is not there, or is not what was written.
    package func tile(_ index: Int, height: Int, width: Int) -> RGBTile? {
        guard let entry = state.withLock({ $0.entries[index] }) else { return nil }
        let header = entry.header
        if header.height == height, header.width == width,
            let bytes = try? PositionedFile(descriptor, path).read(
                at: entry.offset, count: header.byteCount),
            CRC32C.of(bytes) == header.checksum
        {
            return RGBTile(height: height, width: width, bytes: bytes)
        }
        state.withLock { _ = $0.entries.removeValue(forKey: index) }
        session.announce(
            .passedOver(
                file: path, reason: "holds tile \(index) damaged", instead: "it is decoded again"))
        return nil
    }

    /// Adds a tile; returns when a kill of this process cannot lose it any more. A power cut may
    /// lose the last ones. What the disk refuses is said and costs no more than decoding again.
    package func append(_ tile: RGBTile, index: Int) async {
        await withCheckedContinuation { continuation in
            writing.async {
                self.write(tile, index: index)
                continuation.resume()
            }
        }
    }

    // MARK: - Writing, on the journal's own queues

    private func write(_ tile: RGBTile, index: Int) {
        let write = StateWrite(kind: .journal, step: index)
        let header = TileRecordHeader(tile, index: index)
        let end = state.withLock { $0.end }
        let start = max(end, TileJournalHeader.length)
        do {
            try session.willWrite(write)
            let file = PositionedFile(descriptor, path)
            if end < start { try file.write(TileJournalHeader(binding).bytes, at: 0) }
            try file.write(header.bytes, at: start)
            try file.write(tile.bytes, at: start + TileRecordHeader.length)
        } catch {
            // Half a record must not hide the ones that come after it.
            ftruncate(descriptor, off_t(end))
            let isSaid = state.withLock { $0.trouble.failed(at: ContinuousClock.now) }
            if isSaid { session.announce(.failed(write, reason: reasonText(error))) }
            return
        }
        let (failures, mustSync) = state.withLock { state in
            state.end = start
            return state.added(header, syncEvery: syncEvery)
        }
        if failures > 0 { session.announce(.recovered(write, failures: failures)) }
        if mustSync { syncInBackground() }
    }

    /// One at a time; tiles that come meanwhile are in the next one.
    private func syncInBackground() {
        syncing.async {
            // A disk that refuses has no better answer: checksums tell what it lost.
            fsync(self.descriptor)
            self.state.withLock { $0.isSyncing = false }
        }
    }

    // MARK: - Loading

    private func load() throws(FileFailure) {
        let file = PositionedFile(descriptor, path)
        let size = try file.size()
        guard size >= TileJournalHeader.length,
            try file.read(at: 0, count: TileJournalHeader.length)
                == TileJournalHeader(binding).bytes
        else {
            // The header comes with the first tile: there may be no room for either yet.
            try file.truncate(0)
            syncFolder(of: path)
            return
        }
        var loaded = State(end: TileJournalHeader.length)
        while loaded.end + TileRecordHeader.length <= size {
            let bytes = try file.read(at: loaded.end, count: TileRecordHeader.length)
            guard let record = TileRecordHeader(bytes), record.index < binding.tiles,
                loaded.end + TileRecordHeader.length + record.byteCount <= size
            else { break }
            _ = loaded.added(record, syncEvery: .max)
        }
        if loaded.end < size { try file.truncate(loaded.end) }
        loaded.unsynced = 0
        let result = loaded
        state.withLock { $0 = result }
    }
}

extension TileJournal.State {
    /// A record was put at the end. Tells how many failures that ended, and whether it is time
    /// to bring the file to disk.
    fileprivate mutating func added(
        _ header: TileRecordHeader, syncEvery: Int
    ) -> (failures: Int, mustSync: Bool) {
        entries[header.index] = .init(header: header, offset: end + TileRecordHeader.length)
        end += TileRecordHeader.length + header.byteCount
        unsynced += 1
        let mustSync = unsynced >= syncEvery && !isSyncing
        if mustSync { (unsynced, isSyncing) = (0, true) }
        return (trouble.succeeded(), mustSync)
    }
}
