/// The words of a fault specification.
package enum FaultGrammar {
    /// For `--help`.
    package static let help = """
        target:action[=value][@when], several with ';' between.
        Messages: result, task, heartbeat, ack, welcome, hello, ready,
        open, asset, asset-request, cancel, close, failure, reject,
        goodbye; or groups: sent, received, any. What happens to them:
        drop, dup, delay=800ms, delay=100ms..300ms, corrupt; to a result
        also swap, shape, lie (wrong values, valid checksum).
        compute (a worker's): slow=10x, delay=2s, hang, hang=5s, nan, inf,
        fail, forget, crash, kill.
        checkpoint (a coordinator's): enospc, eio, slow=5s, abort, kill.
        step, tile (a coordinator's, when so many are done): abort, kill.
        When: 0.05 or 5% with that probability; 3 the third; 3..7; 3..;
        1/200 the last of every 200; step4; step4..9; 5s..15s and 5s..
        since the start; always when left out.
        """

    static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    static func rule(_ part: Substring) throws(FaultSpecError) -> FaultRule {
        let sides = part.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let words = sides[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let target = try target(trimmed(words[0]), in: part)
        guard words.count == 2 else {
            throw FaultSpecError(
                part: String(part), problem: "it does not say what happens to \(target.rawValue)",
                possible: "\(target.rawValue):" + actions(of: target))
        }
        let pair = words[1].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let value = pair.count == 2 ? trimmed(pair[1]) : nil
        let action = try action(trimmed(pair[0]), value, target: target, in: part)
        guard sides.count == 2 else { return FaultRule(target, action) }
        return FaultRule(target, action, try occasion(trimmed(sides[1]), target: target, in: part))
    }

    private static func target(
        _ word: Substring, in part: Substring
    ) throws(FaultSpecError) -> FaultTarget {
        if let target = FaultTarget(named: String(word)) { return target }
        throw FaultSpecError(
            part: String(part), problem: "there is no target '\(word)'",
            possible: FaultTarget.allCases.map(\.rawValue).joined(separator: ", "))
    }

    private static func actions(of target: FaultTarget) -> String {
        FaultAction.Name.possible(for: target.family).map(\.rawValue).joined(separator: ", ")
    }

    // MARK: Actions

    private static func action(
        _ word: Substring,
        _ value: Substring?,
        target: FaultTarget,
        in part: Substring
    ) throws(FaultSpecError) -> FaultAction {
        guard let name = FaultAction.Name(named: String(word)),
            FaultAction.Name.possible(for: target.family).contains(name)
        else {
            throw FaultSpecError(
                part: String(part), problem: "'\(word)' cannot be done to \(target.rawValue)",
                possible: actions(of: target))
        }
        switch name {
        case .delay, .slow, .hang:
            return try timed(name, value, target: target, in: part)
        default:
            guard value == nil else {
                throw FaultSpecError(
                    part: String(part), problem: "\(word) takes no value",
                    possible: "\(target.rawValue):\(word)")
            }
            return plain(name)
        }
    }

    private static func timed(
        _ name: FaultAction.Name,
        _ value: Substring?,
        target: FaultTarget,
        in part: Substring
    ) throws(FaultSpecError) -> FaultAction {
        switch (name, value) {
        case (.hang, nil): return .hang(nil)
        case (.hang, let value?):
            if let time = FaultText.time(value) { return .hang(time) }
        case (.delay, let value?):
            if let range = FaultText.times(value) { return .delay(range) }
        case (.slow, let value?) where target == .checkpoint:
            if let time = FaultText.time(value) { return .pause(time) }
        case (.slow, let value?):
            if let factor = FaultText.factor(value) { return .slow(factor) }
        default: break
        }
        throw FaultSpecError(
            part: String(part),
            problem: value.map { "\(name.rawValue) cannot be '\($0)'" }
                ?? "\(name.rawValue) needs a value",
            possible: valueForms(of: name, target: target))
    }

    private static func valueForms(of name: FaultAction.Name, target: FaultTarget) -> String {
        switch name {
        case .delay: "delay=800ms, delay=100ms..300ms (us, ms, s, min; a day at most)"
        case .hang: "hang for ever, or hang=5s (us, ms, s, min; a day at most)"
        default: target == .checkpoint ? "slow=5s" : "slow=10x, from 1x to 1000000x"
        }
    }

    private static func plain(_ name: FaultAction.Name) -> FaultAction {
        switch name {
        case .drop: .drop
        case .dup: .duplicate
        case .corrupt: .corrupt
        case .swap: .swap
        case .shape: .shape
        case .lie: .lie
        case .nan: .notANumber
        case .inf: .infinity
        case .fail: .fail
        case .forget: .forget
        case .abort: .abort
        case .kill: .kill
        case .enospc: .noSpace
        case .eio: .ioError
        case .delay, .slow, .hang: preconditionFailure("\(name) has a value")
        }
    }

    // MARK: Occasions

    private static func occasion(
        _ text: Substring,
        target: FaultTarget,
        in part: Substring
    ) throws(FaultSpecError) -> FaultOccasion {
        if text.hasPrefix("step"), let range = ordinals(text.dropFirst(4), from: 0) {
            guard target.hasStep else {
                throw FaultSpecError(
                    part: String(part), problem: "a \(target.rawValue) belongs to no step",
                    possible: "@0.05, @3, @3..7, @1/200, @5s..15s")
            }
            return .steps(range)
        }
        if let occasion = share(text) ?? probability(text) ?? times(text) { return occasion }
        if let range = ordinals(text, from: 1) { return .ordinals(range) }
        throw FaultSpecError(
            part: String(part), problem: "'@\(text)' says no occasion",
            possible: "@0.05 or @5% (a probability), @3 (the third), @3..7, @3.., @1/200 (the last "
                + "of every 200), @step4, @step4..9, @5s..15s, @5s.. (since the start)")
    }

    /// `1/200`
    private static func share(_ text: Substring) -> FaultOccasion? {
        let sides = text.split(separator: "/", omittingEmptySubsequences: false)
        guard sides.count == 2, let hits = FaultText.count(sides[0]),
            let period = FaultText.count(sides[1]), hits <= period, hits > 0
        else { return nil }
        return .share(hits: hits, period: period)
    }

    /// `0.05`, `5%`
    private static func probability(_ text: Substring) -> FaultOccasion? {
        let value: Double?
        if text.last == "%" {
            value = FaultText.decimal(text.dropLast()).map { $0 / 100 }
        } else {
            value = text.contains(".") ? FaultText.decimal(text) : nil
        }
        guard let value, (0...1).contains(value) else { return nil }
        return .probability(value)
    }

    /// `5s..15s`, `5s..`
    private static func times(_ text: Substring) -> FaultOccasion? {
        guard let (low, high) = FaultText.halves(text), let from = FaultText.time(low) else {
            return nil
        }
        if high.isEmpty { return .times(from: from, until: FaultOccasion.forever) }
        guard let until = FaultText.time(high), from < until else { return nil }
        return .times(from: from, until: until)
    }

    /// `3`, `3..7`, `3..`
    private static func ordinals(_ text: Substring, from first: UInt64) -> ClosedRange<UInt64>? {
        guard let (low, high) = FaultText.halves(text) else {
            guard let only = FaultText.count(text), only >= first else { return nil }
            return only...only
        }
        guard let low = FaultText.count(low), low >= first else { return nil }
        if high.isEmpty { return low...UInt64.max }
        guard let high = FaultText.count(high), low <= high else { return nil }
        return low...high
    }
}
