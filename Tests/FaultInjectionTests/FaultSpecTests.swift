import FaultInjection
import TestSupport
import Testing

@Suite("Fault specifications", .watched)
struct FaultSpecTests {
    @Test(
        "every documented form is understood",
        arguments: [
            ("result:drop@0.05", FaultRule(.result, .drop, .probability(0.05))),
            ("result:drop@5%", FaultRule(.result, .drop, .probability(0.05))),
            (
                "task:delay=800ms@3",
                FaultRule(
                    .task, .delay(.milliseconds(800) ... .milliseconds(800)), .ordinals(3...3))
            ),
            (
                "welcome:delay=100ms..0.3s",
                FaultRule(.welcome, .delay(.milliseconds(100) ... .milliseconds(300)))
            ),
            ("result:dup@0.02", FaultRule(.result, .duplicate, .probability(0.02))),
            ("result:corrupt@1/200", FaultRule(.result, .corrupt, .share(hits: 1, period: 200))),
            ("compute:hang@5", FaultRule(.compute, .hang(nil), .ordinals(5...5))),
            ("compute:hang=5s@5", FaultRule(.compute, .hang(.seconds(5)), .ordinals(5...5))),
            ("compute:slow=10x", FaultRule(.compute, .slow(10))),
            (
                "compute:slow=1.5x@10/20",
                FaultRule(.compute, .slow(1.5), .share(hits: 10, period: 20))
            ),
            ("compute:nan@1/50", FaultRule(.compute, .notANumber, .share(hits: 1, period: 50))),
            ("compute:fail@1/3", FaultRule(.compute, .fail, .share(hits: 1, period: 3))),
            ("compute:crash@7", FaultRule(.compute, .abort, .ordinals(7...7))),
            ("compute:kill@7..9", FaultRule(.compute, .kill, .ordinals(7...9))),
            ("result:swap@4..", FaultRule(.result, .swap, .ordinals(4 ... .max))),
            ("result:shape@step3", FaultRule(.result, .shape, .steps(3...3))),
            ("result:lie@step3..5", FaultRule(.result, .lie, .steps(3...5))),
            (
                "sent:drop@5s..15s",
                FaultRule(.sent, .drop, .times(from: .seconds(5), until: .seconds(15)))
            ),
            (
                "any:drop@2min..",
                FaultRule(
                    .any, .drop, .times(from: .seconds(120), until: FaultOccasion.forever))
            ),
            ("checkpoint:enospc@step7", FaultRule(.checkpoint, .noSpace, .steps(7...7))),
            ("ckpt:enospc@step7", FaultRule(.checkpoint, .noSpace, .steps(7...7))),
            ("checkpoint:slow=5s", FaultRule(.checkpoint, .pause(.seconds(5)))),
            ("checkpoint:abort@step3", FaultRule(.checkpoint, .abort, .steps(3...3))),
            ("step:kill@3", FaultRule(.step, .kill, .ordinals(3...3))),
            ("tile:abort@2", FaultRule(.tile, .abort, .ordinals(2...2))),
            (" heartbeat : drop @ 0.5 ", FaultRule(.heartbeat, .drop, .probability(0.5))),
        ])
    func forms(text: String, rule: FaultRule) throws {
        #expect(try FaultSpec(text).rules == [rule])
    }

    @Test("several rules keep their order, and empty parts are no rules")
    func several() throws {
        let spec = try FaultSpec("result:drop@0.05;; task:delay=800ms@3 ;")
        #expect(spec.rules.map(\.target) == [.result, .task])
    }

    @Test(
        "what is wrong is named, with what is possible",
        arguments: [
            ("", "no fault", "target:action"),
            (" ; ", "no fault", "target:action"),
            ("result", "what happens to result", "drop, dup"),
            ("resutl:drop", "no target 'resutl'", "result"),
            ("result:dorp", "'dorp' cannot be done to result", "drop, dup, delay"),
            ("result:hang", "'hang' cannot be done to result", "swap"),
            ("compute:drop", "'drop' cannot be done to compute", "hang, slow"),
            ("heartbeat:swap", "'swap' cannot be done to heartbeat", "drop"),
            ("result:drop=3", "takes no value", "result:drop"),
            ("task:delay", "needs a value", "delay=800ms"),
            ("task:delay=fast", "cannot be 'fast'", "delay=800ms"),
            ("task:delay=-1s", "cannot be '-1s'", "delay=800ms"),
            ("task:delay=800", "cannot be '800'", "ms"),
            ("task:delay=25h", "cannot be '25h'", "ms"),
            ("task:delay=90000s", "cannot be '90000s'", "a day at most"),
            ("task:delay=300ms..100ms", "cannot be '300ms..100ms'", "100ms..300ms"),
            ("compute:slow=10", "cannot be '10'", "10x"),
            ("compute:slow=0.5x", "cannot be '0.5x'", "from 1x"),
            ("compute:slow=-2x", "cannot be '-2x'", "from 1x"),
            ("checkpoint:slow=10x", "cannot be '10x'", "slow=5s"),
            ("result:drop@", "says no occasion", "0.05"),
            ("result:drop@1.5", "says no occasion", "0.05"),
            ("result:drop@-0.5", "says no occasion", "0.05"),
            ("result:drop@0", "says no occasion", "the third"),
            ("result:drop@7..3", "says no occasion", "@3..7"),
            ("result:drop@3/0", "says no occasion", "1/200"),
            ("result:drop@3/2", "says no occasion", "1/200"),
            ("result:drop@nan", "says no occasion", "0.05"),
            ("result:drop@1e-3", "says no occasion", "0.05"),
            ("result:drop@15s..5s", "says no occasion", "@5s..15s"),
            ("result:drop@99999999999999999999", "says no occasion", "the third"),
            ("heartbeat:drop@step3", "belongs to no step", "0.05"),
            ("result:drop;compute:what", "'what' cannot be done to compute", "hang"),
        ])
    func errors(text: String, problem: String, possible: String) {
        let error = #expect(throws: FaultSpecError.self) { try FaultSpec(text) }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
        #expect(error?.possible.contains(possible) == true, "\(String(describing: error))")
    }

    @Test("a text of any rules is parsed back to the same rules", arguments: 0..<300)
    func roundTrip(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let count = Int.random(in: 1...4, using: &random)
        let spec = FaultSpec((0..<count).map { _ in FaultRule.random(using: &random) })
        #expect(try FaultSpec(spec.description) == spec, "\(spec)")
    }

    @Test("no text makes the parser trap", arguments: 0..<300)
    func hostile(seed: UInt64) {
        var random = SplitMix(seed: seed)
        let pieces = [
            "result", "compute", "step", ":", "=", "@", ";", "..", ".", "/", "%", "x", "ms", "1",
            "99999999999999999999", "0", "-", "é", "٣", "\u{0}", " ", "drop", "delay", "slow",
        ]
        let text = (0..<Int.random(in: 0...12, using: &random))
            .map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
        guard let spec = try? FaultSpec(text) else { return }
        #expect((try? FaultSpec(spec.description)) == spec, "\(text)")
    }

    @Test("every word of the grammar is in the help text")
    func help() {
        for target in FaultTarget.allCases {
            #expect(FaultGrammar.help.contains(target.rawValue), "\(target)")
            for action in FaultAction.Name.possible(for: target.family) {
                let word = action == .abort && target == .compute ? "crash" : action.rawValue
                #expect(FaultGrammar.help.contains(word), "\(action)")
            }
        }
    }
}

/// Sebastiano Vigna's splitmix64: enough for test cases.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension FaultRule {
    static func random(using random: inout SplitMix) -> FaultRule {
        let target = FaultTarget.allCases.randomElement(using: &random)!
        let name = FaultAction.Name.possible(for: target.family).randomElement(using: &random)!
        return FaultRule(
            target, action(name, target, using: &random), occasion(target, using: &random))
    }

    private static func time(using random: inout SplitMix) -> Duration {
        .microseconds(Int64.random(in: 0...86_400_000_000, using: &random))
    }

    private static func action(
        _ name: FaultAction.Name, _ target: FaultTarget, using random: inout SplitMix
    ) -> FaultAction {
        switch name {
        case .drop: return .drop
        case .dup: return .duplicate
        case .delay:
            let times = [time(using: &random), time(using: &random)].sorted()
            return .delay(times[0]...times[1])
        case .corrupt: return .corrupt
        case .swap: return .swap
        case .shape: return .shape
        case .lie: return .lie
        case .hang: return .hang(Bool.random(using: &random) ? nil : time(using: &random))
        case .slow where target == .checkpoint: return .pause(time(using: &random))
        case .slow: return .slow(Double(Int.random(in: 8...800, using: &random)) / 8)
        case .nan: return .notANumber
        case .inf: return .infinity
        case .fail: return .fail
        case .forget: return .forget
        case .abort: return .abort
        case .kill: return .kill
        case .enospc: return .noSpace
        case .eio: return .ioError
        }
    }

    private static func occasion(
        _ target: FaultTarget, using random: inout SplitMix
    ) -> FaultOccasion {
        let low = UInt64.random(in: 1...1000, using: &random)
        let high =
            Bool.random(using: &random)
            ? UInt64.max : low + UInt64.random(in: 0...9, using: &random)
        switch Int.random(in: 0...5, using: &random) {
        case 0: return .always
        case 1: return .probability(Double(Int.random(in: 0...1000, using: &random)) / 1000)
        case 2: return .share(hits: low, period: low + UInt64.random(in: 0...9, using: &random))
        case 3: return .ordinals(low...high)
        case 4:
            let from = time(using: &random)
            return .times(
                from: from, until: high == .max ? FaultOccasion.forever : from + .seconds(1))
        default: return target.hasStep ? .steps(low - 1...high) : .always
        }
    }
}
