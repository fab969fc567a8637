internal import ImageFilters
internal import Tensors

/// Sharpens a picture that comes and goes in bands of whole rows: x ← x + amount · (x − G), where G is
/// x convolved with a Gaussian of three pixels, mirrored at the picture's edges (unsharp masking, as in
/// DiffuseHigh, arXiv 2406.18459). The same values however it is cut.
struct BandSharpener: Sendable {
    /// The Gaussian's deviation in pixels.
    static let sigma = 1.0
    static let kernelSize = 3

    private let amount: Float
    private let height: Int
    /// The last rows as they came, which the next ones are made of, too.
    private var tail: RGBImage?
    /// Rows that came, and rows that were given.
    private var (taken, given) = (0, 0)

    /// Of a picture of `height` rows.
    init(amount: Double, height: Int) {
        self.amount = Float(amount)
        self.height = height
    }

    /// Takes the next rows and gives those that are final; nil when there are none yet.
    mutating func add(_ band: RGBImage) -> RGBImage? {
        let rows = RGBImage(stacking: [tail, band].compactMap(\.self))
        taken += band.height
        let first = taken - rows.height
        let end = taken == height ? taken : taken - 1
        tail = rows.rows(max(0, rows.height - 2)..<rows.height)
        guard end > given else { return nil }
        let soft = GaussianBlur(kernelSize: Self.kernelSize, sigma: Self.sigma)(rows)
        let sharp = zip(rows.values, soft.values).map { $0 + amount * ($0 - $1) }
        defer { given = end }
        return RGBImage(height: rows.height, width: rows.width, values: sharp)
            .rows(given - first..<end - first)
    }
}
