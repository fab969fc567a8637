internal import ImageFilters
internal import Sampling

/// A noise level σ; infinite ones are the text `Infinity`, for which JSON has no number.
struct NoiseLevel: Encodable {
    let sigma: Double

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if sigma.isFinite {
            try container.encode(sigma)
        } else {
            try container.encode("Infinity")
        }
    }
}

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
    var sigma: NoiseLevel?

    init(kind: String) { self.kind = kind }

    init(_ operation: PredictionOperation) {
        switch operation {
        case .holdLow(let name):
            self.init(kind: "hold_low")
            self.name = name
        }
    }

    /// What has to do with a picture of so many pixels.
    init(kind: String, of picture: Extent, filter: ResamplingFilter? = nil) {
        self.init(kind: kind)
        (height, width) = (picture.height, picture.width)
        self.filter = filter?.rawValue
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
        case .encode(let source, let size):
            let encoding = PictureEncoding(of: source, size: size, to: tiles(ofPhase: phase))
            return [
                OperationRecord(kind: "picture", of: source),
                OperationRecord(kind: "resize_picture", of: size, filter: encoding.filter),
                OperationRecord(kind: "pad_picture", of: encoding.target.pixels),
                OperationRecord(kind: "encode", tiles: encoding.target),
            ]
        case .redraw(let picture):
            let redrawing = Redrawing(
                from: phases[phase - 1].latent, to: phases[phase].latent, model: request.model)
            return [
                OperationRecord(kind: "decode", tiles: redrawing.source),
                OperationRecord(kind: "resize_picture", of: picture, filter: .bicubic),
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
            if phase > 0 {
                record.purpose = RandomPurpose.renoise.rawValue
                record.step = steps(ofPhase: phase).lowerBound
            }
            record.sigma = NoiseLevel(sigma: phases[phase].schedule.timesteps[0].sigma)
            return [record]
        }
    }
}
