package import ComputeBackends
internal import Tensors

/// Memory that a process may spend on weights prepared ahead, beside the mapped files that all
/// processes of a machine share. A network whose weights fit is prepared whole; the others prepare
/// theirs every time they use them, for about a tenth more time and the same answers.
package struct MemoryBudget: Sendable {
    /// What is left, in bytes.
    package private(set) var bytes: Int

    /// Enough for models of some twenty million parameters, and little beside a large model's file.
    package static let defaultBytes = 512 << 20

    /// `bytes` is not negative.
    package init(bytes: Int = defaultBytes) {
        precondition(bytes >= 0, "a budget is not negative")
        self.bytes = bytes
    }

    /// Whether to prepare a network of these parameters ahead; takes what that costs.
    package mutating func preparation(for parameters: [ParameterShape]) -> Preparation {
        let cost = parameters.reduce(0) { $0 + $1.preparedBytes }
        guard cost <= bytes else { return .onTheWay }
        bytes -= cost
        return .ahead
    }

    /// Throws `MemoryShortage` when a memory limit leaves no room for what this budget allows the
    /// networks of `folder`.
    package func checkRoom(for folder: ModelFolder) throws(MemoryShortage) {
        var rest = self
        _ = rest.preparation(for: folder.unet.parameters)
        _ = rest.preparation(for: folder.vae.decoderParameters)
        try MemoryLimit.check(
            bytes - rest.bytes, for: "weights prepared ahead", leaving: MemoryLimit.leftAtStart)
    }
}

extension ParameterShape {
    /// About what the prepared form takes: float32, four times as many numbers for 3×3 filters.
    fileprivate var preparedBytes: Int {
        guard case .weight = role else { return 0 }
        let isFilter = shape.rank == 4 && shape[2] == 3 && shape[3] == 3
        return shape.count * (isFilter ? 16 : 4)
    }
}
