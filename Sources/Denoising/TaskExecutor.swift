package import Tensors

/// One view of the latent as the network sees it.
package struct ViewInput: Equatable, Sendable {
    /// The gathered, permuted and scaled model input, channels × view height × view width.
    package let sample: Latent
    package let microConditioning: MicroConditioning

    package init(sample: Latent, microConditioning: MicroConditioning) {
        self.sample = sample
        self.microConditioning = microConditioning
    }
}

/// "What noise is in these views at this timestep?" A pure question: the same answer whoever
/// computes it and however often. How views are grouped into tasks is part of the plan.
package struct DenoiseTask: Equatable, Sendable {
    /// Number of the task within its step, 0 ..< count of the step's tasks.
    package let index: Int
    /// Sampling step, for reports; the network is told `timestep`.
    package let step: Int
    package let timestep: Double
    /// Classifier-free guidance weight; the unconditional half runs only when it exceeds 1.
    package let guidanceScale: Double
    /// φ of guidance rescale (arXiv 2305.08891, equation 15), 0 for none, taken per view.
    package let guidanceRescale: Double
    /// Number of its conditioning among the picture's: 0 for the prompt's. Whoever answers is told
    /// the conditioning itself.
    package let conditioning: Int
    /// Guidance of another strength for what is finer than a band; nil for one strength. It fits
    /// every view.
    package let bandSplit: BandSplit?
    package let views: [ViewInput]

    package init(
        index: Int,
        step: Int,
        timestep: Double,
        guidanceScale: Double,
        guidanceRescale: Double = 0,
        conditioning: Int = 0,
        bandSplit: BandSplit? = nil,
        views: [ViewInput]
    ) {
        self.index = index
        self.step = step
        self.timestep = timestep
        self.guidanceScale = guidanceScale
        self.guidanceRescale = guidanceRescale
        self.conditioning = conditioning
        self.bandSplit = bandSplit
        self.views = views
    }
}

/// How a decoded tile is answered.
package enum PixelFormat: String, Hashable, Sendable, CaseIterable {
    /// 8 bits per channel, for the picture.
    case bytes
    /// 32-bit floats from 0 to 1, for what is computed on.
    case floats
}

/// "What picture is in this latent tile?"
package struct DecodeTask: Equatable, Sendable {
    /// Number of the tile, row-major over the tile grid.
    package let index: Int
    /// The tile of a clean latent, before division by the autoencoder's scaling factor.
    package let tile: Latent
    package let format: PixelFormat

    package init(index: Int, tile: Latent, format: PixelFormat = .bytes) {
        self.index = index
        self.tile = tile
        self.format = format
    }
}

/// "What latent does this piece of a picture make?"
package struct EncodeTask: Equatable, Sendable {
    /// Number of the tile, row-major over the tile grid.
    package let index: Int
    /// From 0 to 1; both sides are multiples of the pixels per latent.
    package let pixels: RGBImage

    package init(index: Int, pixels: RGBImage) {
        self.index = index
        self.pixels = pixels
    }
}

/// 8-bit RGB pixels, row-major, three bytes each.
package struct RGBTile: Equatable, Sendable {
    package let height: Int
    package let width: Int
    package let bytes: [UInt8]

    package init(height: Int, width: Int, bytes: [UInt8]) {
        precondition(bytes.count == height * width * 3, "an RGB tile has three bytes per pixel")
        self.height = height
        self.width = width
        self.bytes = bytes
    }
}

/// The three questions a worker answers.
package enum WorkItem: Equatable, Sendable {
    case denoise(DenoiseTask)
    case decode(DecodeTask)
    case encode(EncodeTask)

    package var index: Int {
        switch self {
        case .denoise(let task): task.index
        case .decode(let task): task.index
        case .encode(let task): task.index
        }
    }

    /// Number of the conditioning that it is asked with; 0 for what needs none.
    package var conditioning: Int {
        if case .denoise(let task) = self { task.conditioning } else { 0 }
    }
}

extension WorkItem {
    /// Digest of everything that the answer depends on, besides weights and conditioning: equal
    /// for equal questions. Not of ``index``, which is the asker's business.
    package var fingerprint: Fingerprint {
        var digest = Fingerprinter()
        switch self {
        case .denoise(let task):
            for number in [task.timestep, task.guidanceScale, task.guidanceRescale] {
                digest.add(number)
            }
            // Questions without it keep the digests that they had before there was one.
            if let bands = task.bandSplit {
                digest.add("bands")
                digest.add(bands.highScale)
                digest.add(bands.low.height)
                digest.add(bands.low.width)
            }
            for view in task.views {
                for number in view.microConditioning.timeIDs { digest.add(number) }
                digest.add(view.sample.values)
            }
        case .decode(let task):
            digest.add(task.tile.values)
            // The only format there was once: its questions keep their digests.
            if task.format != .bytes { digest.add(task.format.rawValue) }
        case .encode(let task):
            digest.add("encode")
            digest.add(task.pixels.values)
        }
        return digest.fingerprint
    }
}

extension WorkItem {
    /// How many numbers it is asked with, 32-bit floats.
    private var numberCount: Int {
        switch self {
        case .denoise(let task): task.views.reduce(0) { $0 + $1.sample.values.count }
        case .decode(let task): task.tile.values.count
        case .encode(let task): task.pixels.values.count
        }
    }

    /// How many items like this one are asked and not answered at a time: more than all workers
    /// take, so that none ever waits, and beyond that no more than a quarter of a gigabyte of
    /// questions.
    package func countUnderWay(workers: Int) -> Int {
        let fitting = max(4 * workers, (256 << 20) / max(1, 4 * numberCount))
        return min(max(128, 8 * workers), fitting)
    }
}

/// The answer to a ``WorkItem``.
package enum WorkAnswer: Equatable, Sendable {
    /// One guided prediction per view of the task, in the task's view order.
    case denoise([Latent])
    /// To a decode task that asks for bytes.
    case decode(RGBTile)
    /// To a decode task that asks for floats: from 0 to 1.
    case pixels(RGBImage)
    /// The autoencoder's mean, times its scaling factor.
    case encode(Latent)
}

/// Questions that are made when they are asked: so many at once would fill the memory.
package struct WorkList: Sendable {
    package let count: Int
    private let make: @Sendable (_ position: Int) -> WorkItem

    /// `make` gives the same item for a position however often it is asked.
    package init(count: Int, _ make: @escaping @Sendable (_ position: Int) -> WorkItem) {
        self.count = count
        self.make = make
    }

    /// Of items that are there already.
    package init(_ items: [WorkItem]) {
        self.init(count: items.count) { items[$0] }
    }

    package subscript(position: Int) -> WorkItem {
        precondition((0..<count).contains(position), "there is no item \(position)")
        return make(position)
    }
}

/// What computes: a loaded model, in this process or inside a worker.
///
/// Conformers run the arithmetic on a thread of their own, never on the cooperative pool.
package protocol ComputeModel: Sendable {
    /// Makes the text conditioning available to the following `denoise` items.
    func prepare(_ conditioning: Conditioning) async throws

    /// Answers one item. Throws ``ComputeError`` when the item does not fit the model.
    func compute(_ item: WorkItem, conditioning: Fingerprint) async throws -> WorkAnswer
}

/// Why a model could not answer.
package enum ComputeError: Error, Equatable, CustomStringConvertible {
    /// `prepare(_:)` was never called with this conditioning, or it was dropped.
    case unknownConditioning(Fingerprint)
    /// The item cannot be fed to the model; says what was expected and what came.
    case unsuitable(String)
    /// The answer to the item of this index has values that are not finite; says whose.
    case notFinite(index: Int, String)

    package var description: String {
        switch self {
        case .unknownConditioning(let fingerprint):
            "conditioning \(fingerprint) is not loaded; it has to be sent before its tasks"
        case .unsuitable(let reason), .notFinite(_, let reason): reason
        }
    }
}

/// The seam: the loop does not know whether this is a function call or forty machines.
package protocol TaskExecutor: Sendable {
    /// Computes all items, each with the conditioning of its number, and hands each answer over
    /// exactly once, by its position, in any order. `conditionings` has the number of every item.
    /// Returns when every item was answered; throws when one cannot be. `deliver` is never called
    /// concurrently with itself.
    func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws
}
