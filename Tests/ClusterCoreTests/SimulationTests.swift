import ClusterCore
import Testing

@Suite("A simulated cluster under faults")
struct SimulationTests {
    @Test(
        "every task is delivered exactly once, and the job ends",
        arguments: [1, 2, 4], 0..<34)
    func survives(workers: Int, seed: Int) {
        var simulation = Simulation(seed: UInt64(seed), workers: workers)
        simulation.run()
        #expect(simulation.violations.prefix(3) == [], "seed \(seed), \(workers) workers")
        #expect(simulation.isDone, "seed \(seed), \(workers) workers: the job never ended")
        #expect(simulation.faults > 0)
        switch simulation.failure {
        case nil:
            let expected = Simulation.tasksPerRound * Int(Simulation.rounds)
            #expect(simulation.deliveries.count == expected)
        case .taskFailed(_, let evidence):
            // Under that many crashes a task may really be unlucky; then it must be shown.
            #expect(evidence.count >= Limits.standard.maximumAttempts)
        case let other: Issue.record("\(String(describing: other))")
        }
    }
}
