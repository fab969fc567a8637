internal import Sampling

/// An operation in a ``PlanDocument``: its kind and what belongs to it.
struct OperationRecord: Encodable {
    let kind: String
    var name: String?
    var factor: Double?
    var filter: String?
    var height: Int?
    var width: Int?
    var low: Extent?
    var tile: Extent?
    var rows: [Int]?
    var columns: [Int]?
    var purpose: UInt32?
    var step: Int?
    var sigma: Double?

    init(kind: String) { self.kind = kind }

    init(_ operation: PredictionOperation) {
        switch operation {
        case .holdLow(let name):
            self.init(kind: "hold_low")
            self.name = name
        }
    }

    /// `decode` or `encode` in the tiles of a grid.
    init(kind: String, tiles: TileGrid) {
        self.init(kind: kind)
        tile = tiles.tile
        rows = tiles.rowStarts
        columns = tiles.columnStarts
    }
}

extension DenoisingPlan {
    /// What an operation of a phase's entry does, piece by piece.
    func records(of operation: CanvasOperation, inPhase phase: Int) -> [OperationRecord] {
        switch operation {
        case .redraw(let picture):
            let redrawing = Redrawing(
                from: phases[phase - 1].latent, to: phases[phase].latent, model: request.model)
            var resize = OperationRecord(kind: "resize_picture")
            (resize.height, resize.width) = (picture.height, picture.width)
            resize.filter = "bicubic"
            return [
                OperationRecord(kind: "decode", tiles: redrawing.source), resize,
                OperationRecord(kind: "encode", tiles: redrawing.target),
            ]
        case .boost(let factor, let low):
            var record = OperationRecord(kind: "boost")
            (record.factor, record.low) = (factor, low)
            return [record]
        case .keep(let name, let low):
            var record = OperationRecord(kind: "keep")
            (record.name, record.low) = (name, low)
            return [record]
        case .renoise:
            var record = OperationRecord(kind: "renoise")
            record.purpose = RandomPurpose.renoise.rawValue
            record.step = steps(ofPhase: phase).lowerBound
            record.sigma = phases[phase].schedule.timesteps[0].sigma
            return [record]
        }
    }
}
