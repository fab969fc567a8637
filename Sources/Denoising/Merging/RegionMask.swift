/// Where a group of views counts whose step has other groups for other parts of the canvas
/// (MultiDiffusion, arXiv 2302.08113, section 4.2): a region's group counts in its rectangle, and the
/// background's where no rectangle is. Where rectangles overlap, each counts alike: at every position
/// the groups' shares add up to 1.
///
/// The paper weighs every crop by its mask (equation 5). All crops at a position are in its group,
/// so the mean over masked crops is the mean of the groups' means there.
package struct RegionMask: Hashable, Sendable {
    /// Of all regions, in latents of the canvas.
    package let regions: [Rectangle]
    /// The region whose mask it is; nil is the background's.
    package let region: Int?

    /// Traps on a region that is not there.
    package init(regions: [Rectangle], region: Int?) {
        precondition(region.map(regions.indices.contains) ?? true, "a mask is of its regions")
        (self.regions, self.region) = (regions, region)
    }

    /// The masks of all regions on a canvas that count somewhere, the background's first.
    static func all(of regions: [Rectangle], on canvas: Extent) -> [RegionMask] {
        let whole = Rectangle(canvas)
        return ([nil] + regions.indices.map { $0 })
            .map { RegionMask(regions: regions, region: $0) }.filter { $0.counts(in: whole) }
    }

    /// Whether a position of this part of the canvas counts.
    func counts(in part: Rectangle) -> Bool {
        if let region { regions[region].meets(part) } else { !part.isCovered(by: regions) }
    }

    /// What each position of a row counts, 0 ... 1; `width` of them.
    func shares(ofRow row: Int, width: Int) -> [Float] {
        var counts = [Int](repeating: 0, count: width)
        for rectangle in regions where rectangle.rows.contains(row) {
            for column in rectangle.columns { counts[column] += 1 }
        }
        guard let region else { return counts.map { $0 == 0 ? 1 : 0 } }
        let own = regions[region]
        guard own.rows.contains(row) else { return counts.map { _ in 0 } }
        return counts.indices.map { own.columns.contains($0) ? 1 / Float(counts[$0]) : 0 }
    }
}
