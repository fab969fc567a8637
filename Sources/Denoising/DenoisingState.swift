package import Tensors

/// Where a run stands: all that a checkpoint has to hold besides the request.
package struct DenoisingState: Equatable, Sendable {
    /// The canvas before `nextStep`.
    package var canvas: Latent
    /// 0 ... the plan's step count.
    package var nextStep: Int
    /// What of `nextStep` is merged already; nil between steps.
    package var underWay: PartialStep?

    package init(canvas: Latent, nextStep: Int, underWay: PartialStep? = nil) {
        self.canvas = canvas
        self.nextStep = nextStep
        self.underWay = underWay
    }

    /// Tasks of `nextStep` that are merged already; 0 between steps.
    package var mergedTasks: Int { underWay?.mergedTasks ?? 0 }
}

/// A step of which some tasks are merged: the first ones, because merging goes in their order.
package struct PartialStep: Equatable, Sendable {
    /// 1 ... the step's task count; with all of them there is nothing to go on with but the step.
    package let mergedTasks: Int
    /// The weighted sum of their predictions, on the canvas (``OverlapAccumulator``).
    package let sum: Latent

    package init(mergedTasks: Int, sum: Latent) {
        self.mergedTasks = mergedTasks
        self.sum = sum
    }
}
