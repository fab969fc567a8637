/// Planes of float32 numbers of one size, channel outermost: what a ``Latent`` and an
/// ``RGBImage`` have in common, for whatever treats one plane as the other.
package protocol Planar: Sendable {
    /// Planes.
    var channels: Int { get }
    /// Rows of a plane.
    var height: Int { get }
    /// Columns of a plane.
    var width: Int { get }
    /// Row-major, channel outermost; always `channels * height * width` values.
    var values: [Float] { get }

    /// Traps when the count of values does not fit the extents.
    init(channels: Int, height: Int, width: Int, values: [Float])
}

extension Latent: Planar {}
