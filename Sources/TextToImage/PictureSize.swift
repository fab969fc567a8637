/// The size of a picture as a person writes it: `4096x2048` pixels, or `4x` for so many times
/// the model's native side.
package enum PictureSize: Equatable, Sendable {
    case pixels(width: Int, height: Int)
    case timesNative(Double)

    /// Parses `WxH` and `Nx`; nil for anything else.
    package init?(_ text: String) {
        let parts = text.lowercased().split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        if parts[1].isEmpty, let factor = Double(parts[0]), factor.isFinite, factor > 0 {
            self = .timesNative(factor)
        } else if let width = Int(parts[0]), let height = Int(parts[1]) {
            self = .pixels(width: width, height: height)
        } else {
            return nil
        }
    }

    /// Width and height in pixels for a model whose native side is `nativeSide` pixels.
    package func resolved(nativeSide: Int) -> (width: Int, height: Int) {
        switch self {
        case .pixels(let width, let height):
            return (width, height)
        case .timesNative(let factor):
            let side = Int((Double(nativeSide) * min(factor, 1e6)).rounded())
            return (side, side)
        }
    }
}
