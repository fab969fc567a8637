/// An extrapolation method: turns a request into a plan and nothing else. One method, one file.
package protocol DenoisingMethod: Sendable {
    /// What `--method` says.
    var name: String { get }

    /// One line for help texts.
    var summary: String { get }

    /// What a request may ask of it besides what every method takes.
    var options: [MethodOption] { get }

    /// The plan. Throws ``PlanningError`` for sizes, steps and options that make none.
    func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan
}

/// The methods this program knows. To add one: write its file, add its line here; the conformance
/// battery in the tests picks it up.
package enum DenoisingMethods {
    /// In the order in which help texts list them.
    package static let all: [any DenoisingMethod] = [
        UpscaleMethod(),
        ScaleDiffMethod(),
        CutDiffusionMethod(),
        DiffuseHighMethod(),
        PixelRushMethod(),
        DemoFusionMethod(),
        AccDiffusionMethod(),
        RectifiedHRMethod(),
        FreCaSMethod(),
        MultiDiffusionMethod(),
        SpotDiffusionMethod(),
        DirectMethod(),
    ]

    /// The name of the one that is taken where none is asked for: by count and by eye the one whose
    /// pictures hold together, for the fewest evaluations.
    package static let recommended = UpscaleMethod().name

    /// The method called `name`. Throws ``PlanningError/unknownMethod(_:known:)``.
    package static func method(named name: String) throws(PlanningError) -> any DenoisingMethod {
        guard let method = all.first(where: { $0.name == name }) else {
            throw .unknownMethod(name, known: all.map(\.name))
        }
        return method
    }
}

/// What a request may ask for and not every method has, as people call it.
package enum MethodOption: String, CaseIterable, Sendable {
    case image = "a picture to start from"
    case stride = "a stride"
    case jitter = "jitter"
    case windowCrops = "crops of windows"
    case refinementGuidance = "guidance of refining windows"
    case structureSteps = "a number of structure steps"
    case interaction = "pixel interaction"
    case compatibility = "compatibility with published code"
    case regions = "a region with a prompt of its own"
    case panorama = "a panorama"

    /// Those of methods that refine in overlapping windows.
    static let ofRefiningWindows: [MethodOption] = [
        .stride, .jitter, .windowCrops, .refinementGuidance,
    ]
}

extension PlanRequest {
    /// The checks every method needs, before any arithmetic on the numbers. Refuses options that
    /// `method` does not have.
    func check(for method: some DenoisingMethod) throws(PlanningError) {
        try checkNative()
        let limit = PlanLimits.pixelsPerSide
        guard height <= limit, width <= limit else {
            throw .tooLarge(height: height, width: width, limit: limit)
        }
        guard steps > 0 else { throw .noSteps(steps) }
        guard viewsPerTask > 0 else { throw .invalidViewsPerTask(viewsPerTask) }
        for scale in [guidanceScale, refinementGuidanceScale ?? guidanceScale]
        where !scale.isFinite || abs(scale) > 1000 {
            throw .invalidNumber(
                "guidance scale", value: scale, expected: "between -1000 and 1000")
        }
        guard guidanceRescale >= 0, guidanceRescale <= 1 else {
            throw .invalidNumber(
                "guidance rescale", value: guidanceRescale, expected: "between 0 and 1")
        }
        try refuse(
            MethodOption.allCases.filter { !method.options.contains($0) }, method: method.name)
        try checkRegions()
    }

    /// Refuses options that a method does not have.
    func refuse(_ options: [MethodOption], method: String) throws(PlanningError) {
        if let option = options.first(where: has) {
            throw .optionWithoutEffect(option.rawValue, method: method)
        }
    }

    private func checkRegions() throws(PlanningError) {
        guard regions.count <= PlanLimits.regions else {
            throw .tooManyRegions(regions.count, limit: PlanLimits.regions)
        }
        for (number, region) in zip(1..., regions) {
            guard region.width > 0, region.height > 0 else { throw .emptyRegion(number, region) }
            // Compared without a sum, which may not fit.
            guard region.x >= 0, region.y >= 0, region.width <= width, region.height <= height,
                region.x <= width - region.width, region.y <= height - region.height
            else { throw .regionOutside(number, region, height: height, width: width) }
        }
    }

    /// The regions on a canvas whose top left corner is a latent of the picture: every cell that one
    /// of its pixels lies in. What reaches the latent's right or lower side goes on to the canvas's.
    func regions(on canvas: Extent, within latent: Extent) -> [Rectangle] {
        func span(
            _ pixels: Range<Int>, _ side: Int, of whole: Int, on canvas: Int
        ) -> Range<Int> {
            let length = whole * model.scaleFactor
            let end = (pixels.upperBound * side + length - 1) / length
            return pixels.lowerBound * side / length..<(end >= side ? canvas : end)
        }
        return regions.map { region in
            let columns = span(
                region.columns, latent.width, of: self.latent.width, on: canvas.width)
            let rows = span(
                region.rows, latent.height, of: self.latent.height, on: canvas.height)
            return Rectangle(
                x: columns.lowerBound, y: rows.lowerBound, width: columns.count, height: rows.count)
        }
    }

    /// A group of windows, or one for each region and what is outside of them.
    func split(_ group: ViewGroup, on canvas: Extent, within latent: Extent) -> [ViewGroup] {
        regions.isEmpty
            ? [group] : group.split(by: regions(on: canvas, within: latent), on: canvas)
    }

    /// What starts from noise is as large as the model was trained on; a picture has its shape.
    private func checkNative() throws(PlanningError) {
        let native = model.nativePixels
        guard image != nil else {
            guard height >= native, width >= native else {
                throw .belowNative(height: height, width: width, nativePixels: native)
            }
            return
        }
        let shortest = model.sizeMultiple * model.scaleFactor
        guard max(height, width) >= native, min(height, width) >= shortest else {
            throw .belowNativeOfImage(
                height: height, width: width, nativePixels: native, shortest: shortest)
        }
    }

    private func has(_ option: MethodOption) -> Bool {
        switch option {
        case .structureSteps: structureSteps != nil
        case .interaction: interaction != nil
        case .compatibility: compatibility != nil
        case .image: image != nil
        case .refinementGuidance: refinementGuidanceScale != nil
        case .stride: stride != nil
        case .jitter: jitter != nil
        case .windowCrops: windowCrops != nil
        case .regions: !regions.isEmpty
        case .panorama: panorama
        }
    }

    /// The stride that was asked for, or `standard`, or half the native window. Throws when out of
    /// range.
    func checkedStride(default standard: Int? = nil) throws(PlanningError) -> Int {
        let stride = stride ?? standard ?? max(1, model.nativeSide / 2)
        guard (1...model.nativeSide).contains(stride) else {
            throw .strideOutOfRange(stride, window: model.nativeSide)
        }
        return stride
    }

    /// Native windows over a canvas, by the request's stride, jitter and compatibility; throws
    /// when there would be too many.
    func windowGrid(over canvas: Extent) throws(PlanningError) -> WindowGrid {
        let grid = WindowGrid(
            canvas: canvas,
            window: window,
            stride: try checkedStride(),
            moving: jitter ?? false ? .each : .none,
            edge: compatibility == .cutDiffusion ? .zeroPadded : .clamped
        )
        guard grid.count <= PlanLimits.viewsPerStep else {
            throw .tooManyViews(grid.count, limit: PlanLimits.viewsPerStep)
        }
        return grid
    }

    /// All steps, or those of a schedule, on a latent in one view, padded to what the network takes.
    func wholePhase(
        named name: String, of latent: Extent, feather: Feather = .uniform,
        schedule: PhaseSchedule? = nil
    ) throws(PlanningError) -> PlanPhase {
        let steps: PhaseSchedule
        if let schedule { steps = schedule } else { steps = try self.schedule() }
        let grid = wholeGrid(of: latent)
        let group = ViewGroup(
            geometry: .windows(grid), conditioning: viewConditioning,
            guidanceScale: guidanceScale, feather: feather)
        let stage = PlanStage(
            name: name, steps: 0..<steps.count,
            groups: split(group, on: grid.canvas, within: latent))
        return PlanPhase(
            name: name, latent: latent, canvas: grid.canvas, schedule: steps, stages: [stage])
    }

    /// One view of a whole latent, on a canvas of multiples of what the network takes.
    func wholeGrid(of latent: Extent) -> WindowGrid {
        let canvas = Extent(
            height: latent.height.roundedUp(toMultipleOf: model.sizeMultiple),
            width: latent.width.roundedUp(toMultipleOf: model.sizeMultiple))
        return WindowGrid(
            canvas: canvas, window: canvas, stride: min(canvas.height, canvas.width))
    }

    /// What windows are told, by the request's crops and compatibility.
    var windowConditioning: ConditioningRule {
        guard windowCrops ?? false else { return viewConditioning }
        return compatibility == .cutDiffusion ? .paddedCrop : .crop
    }

    /// What views without a place are told.
    var viewConditioning: ConditioningRule {
        sizeConditioning == .picture ? .picture : .native
    }
}
