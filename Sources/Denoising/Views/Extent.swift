/// Height and width, in latents or in pixels.
package struct Extent: Hashable, Sendable, Codable, CustomStringConvertible {
    package let height: Int
    package let width: Int

    /// Traps unless both are positive.
    package init(height: Int, width: Int) {
        precondition(height > 0 && width > 0, "an extent is positive")
        self.height = height
        self.width = width
    }

    /// Number of positions.
    package var area: Int { height * width }

    /// `width×height`, as picture sizes are written.
    package var description: String { "\(width)×\(height)" }
}

extension Int {
    /// The smallest multiple of `unit` that is not below this number. Both are positive.
    func roundedUp(toMultipleOf unit: Int) -> Int { (self + unit - 1) / unit * unit }
}
