internal import Denoising
package import DurableFiles

/// What a run will put into a folder.
package struct DiskDemand: Equatable, Sendable {
    package let folder: String
    /// For a person, such as `the picture`.
    package let purpose: String
    package let byteCount: UInt64

    package init(folder: String, purpose: String, byteCount: UInt64) {
        self.folder = folder
        self.purpose = purpose
        self.byteCount = byteCount
    }
}

/// A file system that has less room than a run is going to need.
package struct DiskShortage: Equatable, Sendable, CustomStringConvertible {
    package let folder: String
    package let purposes: [String]
    package let needed: UInt64
    package let free: UInt64

    package var description: String {
        "\(folder) has \(Self.text(free)) left, and this run needs about \(Self.text(needed)) "
            + "there (\(purposes.joined(separator: ", "))); a disk that fills up costs no step "
            + "that is done, but make room before the end"
    }

    private static func text(_ byteCount: UInt64) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var (value, unit) = (Double(byteCount), 0)
        while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
        let digits = unit == 0 || value >= 10 ? 1.0 : 10.0
        let rounded = (value * digits).rounded() / digits
        return (digits == 1 ? "\(Int(rounded))" : "\(rounded)") + " \(units[unit])"
    }
}

/// Whether the disks have room for a run, looked at before it starts.
package enum HeadRoom {
    /// What a picture needs: the latents and the state where they are kept, and the PNG.
    /// Estimates from below, so that who is warned is really short: a PNG is reckoned with a
    /// quarter of its raw size.
    package static func demands(
        of picture: PicturePlan, output: OutputPlace, savedLatents: OutputPlace?, state: String?
    ) -> [DiskDemand] {
        let (plan, request) = (picture.plan, picture.request)
        let channels = plan.request.model.channels
        let canvas = 4 * channels * plan.phases.reduce(0) { max($0, $1.stateCells) }
        let latent = 4 * channels * plan.latent.height * plan.latent.width
        var demands: [DiskDemand] = []
        if let folder = output.folder {
            demands.append(
                DiskDemand(
                    folder: folder, purpose: "the picture",
                    byteCount: UInt64(request.width * request.height * 3 / 4)))
        }
        if let folder = savedLatents?.folder {
            demands.append(
                DiskDemand(
                    folder: folder, purpose: "its latents", byteCount: UInt64(latent)))
        }
        if let state {
            let side = picture.tiles.scaleFactor * picture.tiles.scaleFactor
            let tiles = picture.tiles.tiles.reduce(0) { $0 + $1.height * $1.width * side * 3 }
            // Two checkpoints are kept while a third is written; tiles come after the last.
            demands += [
                DiskDemand(folder: state, purpose: "checkpoints", byteCount: UInt64(3 * canvas)),
                DiskDemand(folder: state, purpose: "decoded tiles", byteCount: UInt64(tiles)),
            ]
        }
        return demands
    }

    /// The file systems that cannot take what is asked of them together. `space` tells what the
    /// file system of a folder has left, nil when it does not say.
    package static func shortages(
        _ demands: [DiskDemand], space: (String) -> DiskSpace? = { DiskSpace(of: $0) }
    ) -> [DiskShortage] {
        var byDisk: [UInt64: (free: UInt64, demands: [DiskDemand])] = [:]
        var order: [UInt64] = []
        for demand in demands {
            guard let space = space(demand.folder) else { continue }
            if byDisk[space.fileSystem] == nil { order.append(space.fileSystem) }
            byDisk[space.fileSystem, default: (space.free, [])].demands.append(demand)
        }
        return order.compactMap { disk in
            guard let (free, demands) = byDisk[disk] else { return nil }
            let needed = demands.reduce(UInt64(0)) { $0 + $1.byteCount }
            guard needed > free else { return nil }
            return DiskShortage(
                folder: demands[0].folder, purposes: demands.map(\.purpose), needed: needed,
                free: free)
        }
    }
}

extension PlanPhase {
    /// Cells of the canvas and of what is kept beside it.
    fileprivate var stateCells: Int {
        kept.reduce(canvas.area) { $0 + $1.extent.area }
    }
}
