internal import ImageFilters
internal import Sampling

/// An operation in a ``PlanDocument``: its kind and what belongs to it.
struct OperationRecord: Encodable {
    let kind: String
    var name: String?
    var factor: Double?
    var weight: Double?
    var filter: String?
    var height: Int?
    var width: Int?
    var low: Extent?
    var tile: Extent?
    var rows: [Int]?
    var columns: [Int]?
    var purpose: UInt32?
    var step: Int?
    var sigma: PrintedSigma?

    init(kind: String) { self.kind = kind }

    /// In a step.
    init(_ operation: PredictionOperation, at place: StepPlace, step: Int) {
        switch operation {
        case .holdLow(let name, let weight):
            self.init(kind: "hold_low")
            self.name = name
            if weight != .one { self.weight = weight.value(at: place) }
        case .swapBand(let name):
            self.init(kind: "swap_band")
            self.name = name
        case .injectNoise(let share):
            self.init(kind: "inject_noise")
            factor = share
            purpose = RandomPurpose.injection.rawValue
            self.step = step
        }
    }

    /// What has to do with so many pixels or cells.
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
    /// What an operation of a phase's entry or exit does, piece by piece, or one at the start of
    /// `step`.
    func records(
        of operation: CanvasOperation, inPhase phase: Int, step: StepPlan? = nil
    ) -> [OperationRecord] {
        switch operation {
        case .encode(let source, let size):
            let encoding = PictureEncoding(of: source, size: size, to: tiles(ofPhase: phase))
            return [
                OperationRecord(kind: "picture", of: source),
                OperationRecord(kind: "resize_picture", of: size, filter: encoding.filter),
                OperationRecord(kind: "pad_picture", of: encoding.target.pixels),
                OperationRecord(kind: "encode", tiles: encoding.target),
            ]
        case .redraw(let picture, let filter, let sharpening):
            let redrawing = Redrawing(
                from: phases[phase - 1].latent, to: phases[phase].latent, model: request.model)
            let resized = [
                OperationRecord(kind: "decode", tiles: redrawing.source),
                OperationRecord(kind: "resize_picture", of: picture, filter: filter),
            ]
            let encoded = OperationRecord(kind: "encode", tiles: redrawing.target)
            guard sharpening != 0 else { return resized + [encoded] }
            var sharpened = OperationRecord(kind: "sharpen_picture")
            sharpened.factor = sharpening
            return resized + [sharpened, encoded]
        case .boost(let factor, let low):
            var record = OperationRecord(kind: "boost")
            (record.factor, record.low) = (factor, low)
            return [record]
        case .keep(let name, let low):
            var record = OperationRecord(kind: "keep")
            (record.name, record.low) = (name, low)
            return [record]
        case .keepBand(let name, let low):
            var record = OperationRecord(kind: "keep_band")
            (record.name, record.low) = (name, low)
            return [record]
        case .renoise:
            return [noise("renoise", inPhase: phase, at: phases[phase].schedule.timesteps[0])]
        case .resample(let extent):
            return [OperationRecord(kind: "resample", of: extent, filter: .bicubic)]
        case .takeLow(let name, let low):
            var record = OperationRecord(kind: "take_low")
            (record.name, record.low, record.filter) = (name, low, "bicubic")
            return [record]
        case .mixAnchor(let name, let weight):
            guard let step else { preconditionFailure("a step begins with an anchor's mixing") }
            var record = noise("mix_anchor", inPhase: phase, at: step.timestep)
            (record.name, record.weight) = (name, weight.value(at: step.place))
            record.filter = "bicubic"
            return [record]
        case .restoreMoments(let name):
            var record = OperationRecord(kind: "restore_moments")
            record.name = name
            return [record]
        }
    }

    /// An operation that adds a phase's noise up to the level of a step.
    private func noise(
        _ kind: String, inPhase phase: Int, at timestep: Timestep
    ) -> OperationRecord {
        var record = OperationRecord(kind: kind)
        // The first phase takes the noise that the run starts from.
        if phase > 0 {
            record.purpose = RandomPurpose.renoise.rawValue
            record.step = steps(ofPhase: phase).lowerBound
        }
        record.sigma = PrintedSigma(timestep.sigma)
        return record
    }
}

/// A noise level for JSON, which has no number for an infinite one.
struct PrintedSigma: Encodable {
    private let sigma: Double

    init(_ sigma: Double) { self.sigma = sigma }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        if sigma.isFinite { try value.encode(sigma) } else { try value.encode("Infinity") }
    }
}
