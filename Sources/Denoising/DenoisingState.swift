package import Tensors

/// Where a run stands: all that a checkpoint has to hold besides the request.
package struct DenoisingState: Equatable, Sendable {
    /// The phase whose canvas this is. Between two phases it is that of the one before until the
    /// next one's canvas is made, and ``beforeFirst`` where a picture has yet to be encoded.
    package var phase: Int
    /// The canvas before `nextStep`; in the middle of it, what its views are cut out of: what
    /// happens at a step's start has happened then.
    package var canvas: Latent
    /// What the phase has kept, in its order.
    package var kept: [KeptCanvas]
    /// 0 ... the plan's step count.
    package var nextStep: Int
    /// What of `nextStep` is merged already; nil between steps.
    package var underWay: PartialStep?

    package init(
        phase: Int = 0, canvas: Latent, kept: [KeptCanvas] = [], nextStep: Int,
        underWay: PartialStep? = nil
    ) {
        self.phase = phase
        self.canvas = canvas
        self.kept = kept
        self.nextStep = nextStep
        self.underWay = underWay
    }

    /// The phase of a state whose canvas is nothing but noise, in a plan whose first phase makes
    /// its canvas out of that and a picture.
    package static let beforeFirst = -1

    /// Tasks of `nextStep` that are merged already; 0 between steps.
    package var mergedTasks: Int { underWay?.mergedTasks ?? 0 }
}

/// A canvas that a phase keeps to go by.
package struct KeptCanvas: Equatable, Sendable {
    /// What the plan calls it.
    package let name: String
    package let latent: Latent

    package init(name: String, latent: Latent) {
        self.name = name
        self.latent = latent
    }
}

/// A step of which some tasks are merged: the first ones, because merging goes in their order.
package struct PartialStep: Equatable, Sendable {
    /// 1 ... the step's task count; with all of them there is nothing to go on with but the step.
    package let mergedTasks: Int
    /// The weighted sum of the predictions of the last one's group, on the canvas
    /// (``OverlapAccumulator``).
    package let sum: Latent
    /// The groups before that one, mixed by their shares; nil for the first.
    package let mixed: Latent?

    package init(mergedTasks: Int, sum: Latent, mixed: Latent? = nil) {
        self.mergedTasks = mergedTasks
        self.sum = sum
        self.mixed = mixed
    }
}
