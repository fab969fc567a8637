package import Tensors

/// A picture that comes from its top, a band of whole rows at a time: what a plan starts from when
/// it does not start from noise alone.
package protocol PictureBands {
    /// The next rows, one or more, in 0 … 1. Asked for until all rows have come, and not more
    /// often. Throws when the picture cannot be read to its end.
    mutating func next() throws -> RGBImage
}

/// Opens a picture at its top; it may be read more than once.
package typealias OpenPicture = @Sendable () throws -> any PictureBands
