/// A range of steps that are taken alike.
package struct PlanStage: Hashable, Sendable {
    /// For people: "structure", "refinement" or the method's name.
    package let name: String
    /// The steps of its phase that it covers, never empty in a finished plan.
    package let steps: Range<Int>
    /// What happens to the canvas at the start of each step.
    package let before: [CanvasOperation]
    /// Merged and mixed in this order. A group whose source is not the canvas comes first, so that
    /// what it is cut out of can go before there is a second sum.
    package let groups: [ViewGroup]
    /// What happens to what the views say together.
    package let after: [PredictionOperation]

    package init(
        name: String, steps: Range<Int>, before: [CanvasOperation] = [], groups: [ViewGroup],
        after: [PredictionOperation] = []
    ) {
        self.name = name
        self.steps = steps
        self.before = before
        self.groups = groups
        self.after = after
    }

    /// Views per step.
    package var viewCount: Int { groups.reduce(0) { $0 + $1.viewCount } }
}
