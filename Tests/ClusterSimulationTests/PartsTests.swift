import ClusterCore
import TestSupport
import Testing

@testable import ClusterSimulation

@Suite("The simulation's parts", .watched)
struct PartsTests {
    @Test("time jumps from event to event, and equal times keep the order of planning")
    func clock() {
        var clock = SimulatedClock<String>()
        clock.plan("late", in: .seconds(2))
        clock.plan("first", in: .seconds(1))
        clock.plan("second", in: .seconds(1))
        #expect(clock.next() == "first")
        #expect(clock.now == .seconds(1))
        clock.plan("past", at: .seconds(0))
        #expect(clock.next() == "second")
        #expect(clock.next() == "past")
        #expect(clock.now == .seconds(1))
        #expect(clock.next() == "late")
        #expect(clock.next() == nil)
    }

    @Test("a quiet network loses nothing and keeps the order")
    func quietNetwork() throws {
        var network = SimulatedNetwork(
            links: 1, weather: Weather(), luck: SeededGenerator(seed: 1))
        var last = Instant.seconds(0)
        for second in 0..<100 {
            let sent = Instant.seconds(second / 50)
            let arrivals = network.arrivals(on: 0, .toWorker, at: sent)
            let arrival = try #require(arrivals.first)
            #expect(arrivals.count == 1 && arrival >= last && arrival > sent)
            last = arrival
        }
    }

    @Test("a cut is of one direction")
    func cut() {
        var network = SimulatedNetwork(
            links: 2, weather: Weather(), luck: SeededGenerator(seed: 1))
        network.cut(0, .toWorker)
        #expect(network.arrivals(on: 0, .toWorker, at: .seconds(1)).isEmpty)
        #expect(network.arrivals(on: 0, .toCoordinator, at: .seconds(1)).count == 1)
        #expect(network.arrivals(on: 1, .toWorker, at: .seconds(1)).count == 1)
        network.mend(0, .toWorker)
        #expect(network.arrivals(on: 0, .toWorker, at: .seconds(1)).count == 1)
    }

    @Test("the weather is what it says")
    func weather() {
        var network = SimulatedNetwork(
            links: 1, weather: Weather(loss: 100, duplication: 200, delay: 50, reordering: 300),
            luck: SeededGenerator(seed: 5))
        var last = Instant.seconds(0)
        var late = 0
        for second in 0..<2000 {
            for arrival in network.arrivals(on: 0, .toWorker, at: .seconds(second)) {
                if arrival < last { late += 1 }
                last = max(last, arrival)
            }
        }
        #expect((120...300).contains(network.mishaps["message lost"] ?? 0))
        #expect((250...500).contains(network.mishaps["message doubled"] ?? 0))
        #expect((500...800).contains(network.mishaps["message overtaken"] ?? 0))
        #expect(late > 10)
    }

    @Test("a step's result depends on every answer and on the order of its tasks")
    func merging() {
        let whole = PureModel.merge([0: 1, 1: 2, 2: 3], into: 7)
        #expect(whole == PureModel.merge([2: 3, 0: 1, 1: 2], into: 7))
        #expect(whole != PureModel.merge([0: 1, 1: 3, 2: 2], into: 7))
        #expect(whole != PureModel.merge([0: 1, 1: 2], into: 7))
        #expect(whole != PureModel.merge([0: 1, 1: 2, 2: 3], into: 8))
    }

    @Test("a canvas that is interrupted is made anew, from the step before it", arguments: 0..<5)
    func interruptedCanvas(batches: Int) {
        let picture = Workload.Picture(
            steps: [2, 3],
            entries: [
                1: [
                    .init(kind: .decode, count: 2), .init(kind: .encode, count: 3),
                    .init(kind: .encode, count: 1),
                ]
            ],
            decodeTasks: 2)
        var loop = PictureLoop(workload: Workload(pictures: [picture], consumption: .zero))
        var kinds: [TaskKind] = []
        func runBatch() -> Bool {
            let tasks = loop.nextBatch()
            kinds += Set(tasks.map(\.kind))
            for task in tasks.reversed() {
                let question = loop.question(of: task) ?? 0
                #expect(loop.deliver(PureModel.answer(to: question), of: task) == .right)
                loop.take(task)
            }
            return loop.endBatch()
        }
        loop.open([JobID(1)])
        for _ in 0..<batches { #expect(!runBatch()) }
        loop.crash()
        loop.open([JobID(2)])
        while !runBatch() {}
        #expect(loop.result == loop.quietResult)
        let again: [TaskKind] =
            switch batches {
            case 2: [.decode]
            case 3: [.decode, .encode]
            default: []
            }
        #expect(
            kinds == [.denoise] + again
                + [.decode, .encode, .encode, .denoise, .decode])
    }
}
