/// A tensor that has a place in a plan only.
struct PlannedValue: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        /// A number of ``PlanRecording/values``.
        case value(Int)
        /// A number of ``PlanRecording/bound``.
        case bound(Int)
    }

    /// Whose recording it belongs to.
    let recorder: ObjectIdentifier
    let kind: Kind
}

/// What a network did, in order, without having done it.
struct PlanRecording: Sendable {
    /// An array that will lie in the arena.
    struct Value: Sendable {
        let floats: Int
        /// First and last step that touches it.
        var lifetime: ClosedRange<Int>
        /// Filled before the first step, and kept for runs to come.
        let isInput: Bool
    }

    /// One kernel; its output is a value.
    struct Step: Sendable {
        let kernel: Kernel
        /// Three, in the kernel's order.
        let operands: [Operand]
        let output: Int
        /// Floats of scratch memory.
        let workspace: Int
    }

    enum Operand: Sendable {
        case none
        /// A value from its `offset`th float on.
        case value(Int, offset: Int)
        /// Memory that comes with the run, from its `offset`th float on.
        case bound(Int, offset: Int)
        /// A constant.
        case memory(DeviceTensor)

        var value: Int? {
            guard case .value(let number, _) = self else { return nil }
            return number
        }
    }

    private(set) var steps: [Step] = []
    private(set) var values: [Value] = []
    /// Floats of each array that comes with a run.
    private(set) var bound: [Int] = []

    /// A new input of the arena.
    mutating func addInput(floats: Int) -> Int {
        values.append(Value(floats: floats, lifetime: 0...0, isInput: true))
        return values.count - 1
    }

    /// A new array that comes with every run.
    mutating func addBound(floats: Int) -> Int {
        bound.append(floats)
        return bound.count - 1
    }

    /// A new step; returns its output, of `floats`.
    mutating func addStep(
        _ kernel: Kernel,
        _ operands: [Operand],
        floats: Int,
        workspace: Int
    ) -> Int {
        let time = steps.count
        for value in operands.compactMap(\.value) {
            values[value].lifetime = values[value].lifetime.lowerBound...time
        }
        values.append(Value(floats: floats, lifetime: time...time, isInput: false))
        steps.append(
            Step(
                kernel: kernel, operands: operands, output: values.count - 1,
                workspace: workspace))
        return values.count - 1
    }
}

// MARK: - Layout

extension PlanRecording {
    /// Where everything lies, in floats from the start of the arena.
    struct Places: Sendable {
        /// Of each value.
        let values: [Int]
        /// Of each step's scratch memory.
        let workspaces: [Int]
        /// Floats of the arena.
        let size: Int
        /// Floats that are in use at the worst moment: no arena is smaller.
        let peak: Int
    }

    /// Floats of a cache line, to which everything is aligned.
    static let alignment = 16

    /// Lays everything out; the value `output` is kept to the end.
    func places(output: Int) -> Places {
        let homes = homes(output: output)
        var items: [ArenaLayout.Item] = []
        // The layout's number of each value that is its own home.
        var itemOfHome: [Int: Int] = [:]
        for (home, members) in Dictionary(grouping: homes.indices, by: { homes[$0] })
            .sorted(by: { $0.key < $1.key })
        {
            let first = values[home].lifetime.lowerBound
            let last = members.map { end(of: $0, output: output) }.max() ?? first
            itemOfHome[home] = items.count
            items.append(ArenaLayout.Item(size: values[home].floats, lifetime: first...last))
        }
        let firstWorkspace = items.count
        items += steps.enumerated().map { time, step in
            ArenaLayout.Item(size: step.workspace, lifetime: time...time)
        }
        let layout = ArenaLayout(items, alignment: Self.alignment)
        return Places(
            values: homes.map { home in itemOfHome[home].map { layout.offsets[$0] } ?? 0 },
            workspaces: Array(layout.offsets[firstWorkspace...]), size: layout.size,
            peak: ArenaLayout.peak(items))
    }

    /// The last step during which a value has to stay.
    private func end(of value: Int, output: Int) -> Int {
        value == output || values[value].isInput
            ? steps.count : values[value].lifetime.upperBound
    }

    /// The value whose place each value shares: its own, or that of an operand which nobody wants
    /// any more and over which the kernel may write.
    private func homes(output: Int) -> [Int] {
        var homes = Array(values.indices)
        for (time, step) in steps.enumerated() where step.kernel.mayOverwriteFirst {
            guard case .value(let source, offset: 0) = step.operands[0],
                end(of: source, output: output) == time,
                values[source].floats == values[step.output].floats,
                !step.operands.dropFirst().contains(where: { $0.value == source })
            else { continue }
            homes[step.output] = homes[source]
        }
        return homes
    }
}
