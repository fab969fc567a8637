/// Which way bytes go through a proxy: up to the server, or down from it.
package enum LinkDirection: String, Hashable, Sendable, CaseIterable {
    case up
    case down
}

/// What a bad network does to a connection, and a bad firewall.
package struct LinkConditions: Hashable, Sendable {
    /// Bytes arrive this much later …
    package var delay: Duration = .zero
    /// … plus or minus a time up to this; they stay in order.
    package var jitter: Duration = .zero
    /// In each direction of each connection; nil for no limit.
    package var bytesPerSecond: Int?
    /// Directions in which nothing arrives. As with lost packets, what was sent waits and arrives
    /// when the cut ends; a connection dialled meanwhile does not come about.
    package var cut: Set<LinkDirection> = []
    /// All connections are reset this often; nil for never.
    package var resetEvery: Duration?

    package init() {}
}

/// What a running proxy is told, one line each.
package enum ProxyInstruction: Hashable, Sendable {
    case cut(Set<LinkDirection>)
    case heal
    case reset
    case delay(Duration)
    case jitter(Duration)
    case rate(Int?)
    case resetEvery(Duration?)
    case status

    /// Parses a line. Throws ``FaultSpecError`` that says what is possible.
    package init(_ line: String) throws(FaultSpecError) {
        let words = line.split(whereSeparator: \.isWhitespace)
        switch (words.first, words.dropFirst().first, words.count) {
        case ("cut", "up", 2): self = .cut([.up])
        case ("cut", "down", 2): self = .cut([.down])
        case ("cut", "both", 2), ("cut", nil, 1): self = .cut([.up, .down])
        case ("heal", nil, 1): self = .heal
        case ("reset", nil, 1): self = .reset
        case ("status", nil, 1): self = .status
        case ("rate", "off", 2): self = .rate(nil)
        case ("reset-every", "off", 2): self = .resetEvery(nil)
        case ("delay", let value?, 2):
            guard let time = FaultText.time(value) else { throw Self.error(line) }
            self = .delay(time)
        case ("jitter", let value?, 2):
            guard let time = FaultText.time(value) else { throw Self.error(line) }
            self = .jitter(time)
        case ("rate", let value?, 2):
            guard let rate = Self.rate(String(value)) else { throw Self.error(line) }
            self = .rate(rate)
        case ("reset-every", let value?, 2):
            guard let time = FaultText.time(value), time > .zero else { throw Self.error(line) }
            self = .resetEvery(time)
        default: throw Self.error(line)
        }
    }

    private static func error(_ line: String) -> FaultSpecError {
        FaultSpecError(
            part: line, problem: "it is no instruction",
            possible: "cut up, cut down, cut both, heal, reset, delay 200ms, jitter 100ms, "
                + "rate 1MB/s, rate off, reset-every 2s, reset-every off, status")
    }

    /// `1MB/s`, `64kB/s`, `500B/s`; nil for anything else.
    package static func rate(_ text: String) -> Int? {
        for (unit, factor) in [("MB/s", 1e6), ("kB/s", 1e3), ("B/s", 1)] where text.hasSuffix(unit)
        {
            guard let value = FaultText.decimal(text.dropLast(unit.count)) else { continue }
            let rate = value * factor
            return (1...1e12).contains(rate) ? Int(rate) : nil
        }
        return nil
    }

    /// `200ms`; nil for what is no time.
    package static func time(_ text: String) -> Duration? { FaultText.time(text) }

    /// Changes the conditions; nothing for instructions that act at once.
    package func apply(to conditions: inout LinkConditions) {
        switch self {
        case .cut(let directions): conditions.cut = directions
        case .heal: conditions.cut = []
        case .delay(let time): conditions.delay = time
        case .jitter(let time): conditions.jitter = time
        case .rate(let rate): conditions.bytesPerSecond = rate
        case .resetEvery(let time): conditions.resetEvery = time
        case .reset, .status: break
        }
    }
}
