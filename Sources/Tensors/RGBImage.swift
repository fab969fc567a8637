/// A picture, or a part of one, to be computed with: red, green and blue planes of numbers that
/// are nominally in 0 ... 1, row-major.
package struct RGBImage: Equatable, Planar {
    package let height: Int
    package let width: Int

    /// Row-major, all of red, then green, then blue; always `3 * height * width` values.
    package var values: [Float]

    /// Always 3.
    package var channels: Int { 3 }

    /// Traps when the count of values does not fit the extents.
    package init(height: Int, width: Int, values: [Float]) {
        precondition(height > 0 && width > 0, "a picture needs positive extents")
        precondition(
            values.count == 3 * height * width,
            "a picture of \(height)×\(width) wants \(3 * height * width) values, got "
                + "\(values.count)")
        self.height = height
        self.width = width
        self.values = values
    }

    /// Traps unless there are 3 channels.
    package init(channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(channels == 3, "a picture has three channels")
        self.init(height: height, width: width, values: values)
    }
}
