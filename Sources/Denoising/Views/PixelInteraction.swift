internal import Sampling

/// How CutDiffusion's stage one exchanges elements between patches.
package enum InteractionMode: String, Codable, Hashable, Sendable, CaseIterable {
    /// No exchange: the patches stay strangers.
    case off
    /// One permutation per position, the same for all channels: latent pixels stay whole.
    case position
    /// One permutation per position and channel, as the published code has it.
    case perChannel = "per-channel"
}

/// The exchange of one step as a value: seed and step, from which every permutation follows.
///
/// Only the network looks through it. The canvas itself is never permuted: what the network says
/// about an exchanged element is written back to where the element came from.
package struct PixelInteraction: Hashable, Sendable {
    package let seed: UInt64
    package let step: Int
    /// `.position` or `.perChannel`.
    package let mode: InteractionMode

    package init(seed: UInt64, step: Int, mode: InteractionMode) {
        precondition(mode != .off, "no exchange is the absence of an interaction")
        self.seed = seed
        self.step = step
        self.mode = mode
    }

    /// All permutations of the step, written out.
    package func table(for grid: LatticeGrid, channels: Int) -> InteractionTable {
        let cells = grid.patch.area
        let planes = mode == .perChannel ? channels : 1
        var sources = [UInt16](repeating: 0, count: planes * cells * grid.count)
        var permutation: [UInt16] = []
        for plane in 0..<planes {
            for cell in 0..<cells {
                var random = PhiloxGenerator(
                    seed: seed, purpose: .interaction, step: step, index: plane * cells + cell)
                permutation.removeAll(keepingCapacity: true)
                permutation.append(contentsOf: (0..<grid.count).lazy.map { UInt16($0) })
                random.shuffle(&permutation)
                for patch in 0..<grid.count {
                    sources[(patch * planes + plane) * cells + cell] = permutation[patch]
                }
            }
        }
        return InteractionTable(
            patches: grid.count, planes: planes, cells: cells, sources: sources)
    }
}

/// Which patch each element of each patch is read from.
package struct InteractionTable: Equatable, Sendable {
    /// Number of patches, P.
    package let patches: Int
    /// 1 when all channels share a permutation, else the number of channels.
    package let planes: Int
    /// Positions in a patch.
    package let cells: Int

    /// patches × planes × cells, row-major; for a fixed plane and cell a permutation of 0 ..< P.
    private let sources: [UInt16]

    init(patches: Int, planes: Int, cells: Int, sources: [UInt16]) {
        self.patches = patches
        self.planes = planes
        self.cells = cells
        self.sources = sources
    }

    /// The patch that element (channel, cell) of `patch` is read from. `cell` is row-major.
    package func source(patch: Int, channel: Int, cell: Int) -> Int {
        let plane = planes == 1 ? 0 : channel
        return Int(sources[(patch * planes + plane) * cells + cell])
    }

    /// The sources of one patch, planes × cells.
    package func sources(ofPatch patch: Int) -> ArraySlice<UInt16> {
        sources[patch * planes * cells..<(patch + 1) * planes * cells]
    }
}
