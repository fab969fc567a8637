package import Sampling

/// Why a request cannot be planned. One sentence each: what was expected, found, and what to do.
package enum PlanningError: Error, Equatable, CustomStringConvertible {
    case unknownMethod(String, known: [String])
    /// One side is smaller than what the model was trained on.
    case belowNative(height: Int, width: Int, nativePixels: Int)
    /// With a picture to start from the longer side has to be native, and the shorter one something.
    case belowNativeOfImage(height: Int, width: Int, nativePixels: Int, shortest: Int)
    /// One side exceeds ``PlanLimits/pixelsPerSide``.
    case tooLarge(height: Int, width: Int, limit: Int)
    /// A step would have more views than ``PlanLimits/viewsPerStep``.
    case tooManyViews(Int, limit: Int)
    /// All steps together would have more views than ``PlanLimits/views``.
    case tooManyViewsInAll(Int, limit: Int)
    /// Fewer steps than one.
    case noSteps(Int)
    /// The scheduler cannot be had for so many steps.
    case unsampled(SamplingError)
    case strideOutOfRange(Int, window: Int)
    case structureStepsOutOfRange(Int, steps: Int)
    case invalidNumber(String, value: Double, expected: String)
    case invalidViewsPerTask(Int)
    /// The option means nothing to this method.
    case optionWithoutEffect(String, method: String)
    /// A region of the picture has no pixel; regions are counted from 1.
    case emptyRegion(Int, Rectangle)
    /// A region of the picture goes beyond it.
    case regionOutside(Int, Rectangle, height: Int, width: Int)
    /// More regions than ``PlanLimits/regions``.
    case tooManyRegions(Int, limit: Int)
    /// The sides of a panorama join only where its last cell has all its pixels.
    case panoramaWidth(Int, scaleFactor: Int)
    /// The published code only knows multiples of the native size.
    case notMultiplesOfNative(height: Int, width: Int, nativePixels: Int)
    /// A plan broke its own promise; says which view of which step. A defect, not bad input.
    case brokenPlan(String)

    package var description: String {
        switch self {
        case .unknownMethod(let name, let known):
            "there is no method \"\(name)\"; choose one of: \(known.joined(separator: ", "))"
        case .belowNative(let height, let width, let native):
            "\(width)×\(height) is smaller than this model's native \(native)×\(native) pixels; "
                + "both sides have to be at least \(native)"
        case .belowNativeOfImage(let height, let width, let native, let shortest):
            "\(width)×\(height) is too small for this model: the longer side has to be at least "
                + "\(native) pixels and the shorter one \(shortest); ask for a larger size, such as "
                + "4x for four times the picture's sides"
        case .tooLarge(let height, let width, let limit):
            "\(width)×\(height) is too large; a side can have at most \(limit) pixels"
        case .tooManyViews(let count, let limit):
            "a step would have \(count) views, more than the limit of \(limit); "
                + "use a larger stride or a smaller picture"
        case .tooManyViewsInAll(let count, let limit):
            "the picture would take \(count) views, more than the limit of \(limit); use another "
                + "method, fewer steps or a smaller picture"
        case .noSteps(let count):
            "\(count) steps make no picture; ask for at least 1"
        case .unsampled(let error):
            error.description
        case .strideOutOfRange(let stride, let window):
            "the stride should lie between 1 and the native window of \(window) latents, "
                + "got \(stride)"
        case .structureStepsOutOfRange(let count, let steps):
            "the structure steps should lie between 0 and the number of steps, \(steps), "
                + "got \(count)"
        case .invalidNumber(let name, let value, let expected):
            "the \(name) should be \(expected), got "
                + (value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)")
        case .invalidViewsPerTask(let count):
            "a task carries at least 1 view, got \(count)"
        case .optionWithoutEffect(let option, let method):
            "the method \(method) has no use for \(option); leave it out"
        case .emptyRegion(let number, let region):
            "region \(number) is \(region.width)×\(region.height) pixels; give it a width and a "
                + "height above 0"
        case .regionOutside(let number, let region, let height, let width):
            "region \(number), \(region.width)×\(region.height) pixels from (\(region.x), "
                + "\(region.y)), goes beyond the picture of \(width)×\(height); move it or make it "
                + "smaller"
        case .tooManyRegions(let count, let limit):
            "\(count) regions are too many; a picture can have at most \(limit)"
        case .panoramaWidth(let width, let scale):
            "a panorama's width has to be a multiple of \(scale) for its sides to join, got \(width); "
                + "ask for \(max(1, (width + scale / 2) / scale) * scale)"
        case .notMultiplesOfNative(let height, let width, let native):
            "the published code only makes sizes that are multiples of \(native) pixels, not "
                + "\(width)×\(height); change the size or leave the compatibility out"
        case .brokenPlan(let reason):
            "the plan is not sound, which is a defect of this program: \(reason)"
        }
    }
}

/// Bounds of a plan.
package enum PlanLimits {
    /// Of a picture.
    package static let pixelsPerSide = 65_536
    /// Windows at most; patches have a limit of their own.
    package static let viewsPerStep = 1 << 20
    /// Of all steps: a plan is walked through before it is begun.
    package static let views = 1 << 27
    /// Of a picture, each with a text that workers keep.
    package static let regions = 16
    /// Patches are counted in 16 bits.
    package static let patches = 1 << 16
}
