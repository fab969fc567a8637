package import Denoising

/// The size of a picture as a person writes it: `4096x2048` pixels, or `4x` for so many times
/// the sides of what it starts from, which is the model's native square or a picture.
package enum PictureSize: Equatable, Sendable {
    case pixels(width: Int, height: Int)
    case times(Double)

    /// Parses `WxH` and `Nx`; nil for anything else.
    package init?(_ text: String) {
        let parts = text.lowercased().split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        if parts[1].isEmpty, let factor = Double(parts[0]), factor.isFinite, factor > 0 {
            self = .times(factor)
        } else if let width = Int(parts[0]), let height = Int(parts[1]) {
            self = .pixels(width: width, height: height)
        } else {
            return nil
        }
    }

    /// Width and height in pixels for a model whose native side is `nativeSide` pixels, or for a
    /// picture to start from. Throws ``RequestError/shape(asked:image:)`` for pixels that are not
    /// of that picture's shape, give or take one in a hundred.
    package func resolved(
        nativeSide: Int, image: Extent? = nil
    ) throws(RequestError) -> (width: Int, height: Int) {
        let start = image ?? Extent(height: nativeSide, width: nativeSide)
        switch self {
        case .pixels(let width, let height):
            if let image { try Self.check(width: width, height: height, like: image) }
            return (width, height)
        case .times(let factor):
            func side(_ side: Int) -> Int { Int((Double(side) * min(factor, 1e6)).rounded()) }
            return (side(start.width), side(start.height))
        }
    }

    /// Numbers that are no extents are left to the plan.
    private static func check(
        width: Int, height: Int, like image: Extent
    ) throws(RequestError) {
        guard width > 0, height > 0 else { return }
        let ratio =
            Double(width) / Double(height) * (Double(image.height) / Double(image.width))
        // A side that was rounded to a pixel is no other shape.
        let pixel = 0.5 / Double(min(width, height))
        guard abs(ratio - 1) > max(0.01, 2 * pixel) else { return }
        throw .shape(asked: Extent(height: height, width: width), image: image)
    }
}
