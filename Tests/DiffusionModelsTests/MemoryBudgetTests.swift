import ComputeBackends
@testable import DiffusionModels
import Tensors
import TestSupport
import Testing

@Suite("Memory budget", .watched)
struct MemoryBudgetTests {
    private func parameters(_ extents: Int...) -> [ParameterShape] {
        [
            ParameterShape(name: "a.weight", shape: Shape(extents), role: .weight(fanIn: 1)),
            ParameterShape(name: "a.bias", shape: Shape(extents[0]), role: .bias),
        ]
    }

    @Test("a network that fits is prepared whole, and its memory is spent")
    func fits() {
        var budget = MemoryBudget(bytes: 1000)
        #expect(budget.preparation(for: parameters(10, 20)) == .ahead)
        #expect(budget.bytes == 200)
        #expect(budget.preparation(for: parameters(10, 20)) == .onTheWay)
        #expect(budget.bytes == 200)
    }

    @Test("3×3 filters count for the 36 numbers that each becomes")
    func filters() {
        var budget = MemoryBudget(bytes: 2 * 3 * 36 * 4)
        #expect(budget.preparation(for: parameters(2, 3, 3, 3)) == .ahead)
        #expect(budget.bytes == 0)
    }

    @Test("without a budget nothing is prepared")
    func nothing() {
        var budget = MemoryBudget(bytes: 0)
        #expect(budget.preparation(for: parameters(1, 1)) == .onTheWay)
    }
}
