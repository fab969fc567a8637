/// All lattices of a canvas: rowStride · columnStride patches that partition it.
package struct LatticeGrid: Hashable, Sendable {
    /// A multiple of the strides on both axes.
    package let canvas: Extent
    /// Patches on the vertical axis.
    package let rowStride: Int
    /// Patches on the horizontal axis.
    package let columnStride: Int

    /// Traps when the strides do not divide the canvas.
    package init(canvas: Extent, rowStride: Int, columnStride: Int) {
        precondition(rowStride > 0 && columnStride > 0, "a stride is positive")
        precondition(
            canvas.height % rowStride == 0 && canvas.width % columnStride == 0,
            "lattices partition a canvas that is a multiple of their strides")
        self.canvas = canvas
        self.rowStride = rowStride
        self.columnStride = columnStride
    }

    /// Number of patches, P.
    package var count: Int { rowStride * columnStride }

    /// Extents of each patch.
    package var patch: Extent {
        Extent(height: canvas.height / rowStride, width: canvas.width / columnStride)
    }

    /// The patches, row phase outermost: patch p has row p / columnStride, column p % columnStride.
    package var lattices: [Lattice] {
        (0..<count).map { patch in
            Lattice(
                row: patch / columnStride, column: patch % columnStride,
                rowStride: rowStride, columnStride: columnStride)
        }
    }
}

extension LatticeGrid {
    /// The isotropic scale for a canvas of this size: the number of patches per axis whose patches
    /// come closest in area (by ratio) to a native window. Both axes share it, so that the layout
    /// of stage one is not stretched when the patches are interleaved.
    package static func isotropicScale(latent: Extent, window: Int) -> Int {
        var scale = 1
        while latent.area >= scale * (scale + 1) * window * window { scale += 1 }
        return scale
    }
}
