internal import ComputeBackends
internal import Synchronization

/// The forwards that a model has laid out, the most recently used few of one network: a worker
/// that begins to decode gives the memory of its predictions back, and the reverse.
final class ForwardCache: Sendable {
    /// What a prediction is laid out for.
    struct Pass: Equatable, Sendable {
        let items: Int
        let height: Int
        let width: Int
        let texts: Int
        let tokens: Int
    }

    /// What a decoding or an encoding is laid out for, in latent pixels.
    struct Tile: Equatable, Sendable {
        let height: Int
        let width: Int
    }

    /// Kept at most: the passes of a step are of one size, but for its last.
    static let limit = 2

    private struct Kept: Sendable {
        var predictions = RecentlyUsed<Pass, UNet.Forward>(limit: ForwardCache.limit)
        var decodings = RecentlyUsed<Tile, VAEDecoder.Forward>(limit: ForwardCache.limit)
        var encodings = RecentlyUsed<Tile, VAEEncoder.Forward>(limit: ForwardCache.limit)
    }

    private let kept = Mutex(Kept())

    /// The forward for a pass, made by `make` if it is not there; nil when `make` has none. Throws
    /// what `make` throws.
    func prediction(
        _ pass: Pass, make: () throws(MemoryShortage) -> UNet.Forward?
    ) throws(MemoryShortage) -> UNet.Forward? {
        try kept.withLock { (kept) throws(MemoryShortage) in
            kept.decodings.removeAll()
            kept.encodings.removeAll()
            return try Self.find(pass, in: &kept.predictions, make: make)
        }
    }

    /// The forward for a tile, made by `make` if it is not there; nil when `make` has none. Throws
    /// what `make` throws.
    func decoding(
        _ tile: Tile, make: () throws(MemoryShortage) -> VAEDecoder.Forward?
    ) throws(MemoryShortage) -> VAEDecoder.Forward? {
        try kept.withLock { (kept) throws(MemoryShortage) in
            kept.predictions.removeAll()
            kept.encodings.removeAll()
            return try Self.find(tile, in: &kept.decodings, make: make)
        }
    }

    /// The forward for a tile that is encoded, made by `make` if it is not there; nil when `make`
    /// has none. Throws what `make` throws.
    func encoding(
        _ tile: Tile, make: () throws(MemoryShortage) -> VAEEncoder.Forward?
    ) throws(MemoryShortage) -> VAEEncoder.Forward? {
        try kept.withLock { (kept) throws(MemoryShortage) in
            kept.predictions.removeAll()
            kept.decodings.removeAll()
            return try Self.find(tile, in: &kept.encodings, make: make)
        }
    }

    private static func find<Key: Equatable & Sendable, Forward: Sendable>(
        _ key: Key,
        in forwards: inout RecentlyUsed<Key, Forward>,
        make: () throws(MemoryShortage) -> Forward?
    ) throws(MemoryShortage) -> Forward? {
        if let forward = forwards.find(key) { return forward }
        guard let forward = try make() else { return nil }
        forwards.insert(forward, for: key)
        return forward
    }

    /// How many there are, of predictions, decodings and encodings.
    var counts: (predictions: Int, decodings: Int, encodings: Int) {
        kept.withLock { ($0.predictions.count, $0.decodings.count, $0.encodings.count) }
    }
}
