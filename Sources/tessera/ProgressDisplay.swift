import Foundation
import OutputChannels

/// Progress on standard error: a bar that redraws itself on a terminal, a line now and then
/// elsewhere. Times are of the monotonic clock.
struct ProgressDisplay {
    private let isTerminal: Bool
    private let clock = ContinuousClock()
    private var phaseStart: ContinuousClock.Instant
    private var lastLine: ContinuousClock.Instant?
    private var phase = ""
    private var barIsOpen = false

    /// Without a terminal, at most one line in this time and one at each phase's end.
    private static let linePeriod: Duration = .seconds(5)

    init() {
        isTerminal = isatty(STDERR_FILENO) == 1
        phaseStart = clock.now
    }

    /// A line of its own, such as "2 workers ready".
    mutating func note(_ text: String) {
        closeBar()
        say(text)
    }

    /// `done` of `total` units of a phase. The first call of a phase starts its clock.
    mutating func update(_ phase: String, done: Int, total: Int) {
        if phase != self.phase {
            closeBar()
            self.phase = phase
            phaseStart = clock.now
            lastLine = nil
        }
        let elapsed = clock.now - phaseStart
        if isTerminal {
            let bar = bar(done: done, total: total, elapsed: elapsed)
            Output.messages.send(Array("\r\(bar)\u{1B}[K".utf8), replaceable: true)
            barIsOpen = true
            if done == total { closeBar() }
        } else if done == total || isTimeForALine {
            lastLine = clock.now
            say(line(done: done, total: total, elapsed: elapsed))
        }
    }

    /// Ends a half-drawn bar, so that what follows starts on a line of its own.
    mutating func closeBar() {
        if barIsOpen { say("") }
        barIsOpen = false
    }

    private var isTimeForALine: Bool {
        guard let lastLine else { return clock.now - phaseStart >= Self.linePeriod }
        return clock.now - lastLine >= Self.linePeriod
    }

    private func bar(done: Int, total: Int, elapsed: Duration) -> String {
        let cells = 28
        let filled = total == 0 ? cells : done * cells / total
        let drawn =
            String(repeating: "█", count: filled) + String(repeating: "░", count: cells - filled)
        return
            "\(phase.padded(to: 9)) \(drawn) \(line(done: done, total: total, elapsed: elapsed, named: false))"
    }

    private func line(done: Int, total: Int, elapsed: Duration, named: Bool = true) -> String {
        let head = named ? "\(phase) " : ""
        let share = total == 0 ? 100 : done * 100 / total
        let counts = "\(head)\(done)/\(total) (\(share) %), \(clockText(elapsed))"
        guard done > 0, done < total else { return counts }
        let remaining = elapsed / Double(done) * Double(total - done)
        return counts + ", about \(clockText(remaining)) left"
    }
}

/// `0:07`, `12:30`, `1:02:03`
func clockText(_ duration: Duration) -> String {
    let seconds = Int(duration.components.seconds)
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60)
    let two = { (value: Int) in value < 10 ? "0\(value)" : "\(value)" }
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
}

extension String {
    fileprivate func padded(to length: Int) -> String {
        self + String(repeating: " ", count: max(0, length - count))
    }
}
