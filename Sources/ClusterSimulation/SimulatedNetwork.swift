internal import ClusterCore

/// How often the network of a run misbehaves while faults are on, each in a thousand messages.
struct Weather: Hashable, Sendable {
    var loss = 0
    var duplication = 0
    /// Held up by 0.5 to 4 seconds, and what follows on the same connection behind it.
    var delay = 0
    /// Overtaken by what was sent later.
    var reordering = 0
    /// Arrives with flipped bits, which its checksum shows.
    var corruption = 0
}

/// The links between one coordinator and its machines: each keeps the order of its messages in
/// each direction, as a connection does, unless the weather says otherwise.
struct SimulatedNetwork {
    enum Direction: Hashable, Sendable, CaseIterable {
        case toCoordinator, toWorker
    }

    private struct Lane {
        var isCut = false
        var lastArrival = Instant(sinceStart: .zero)
    }

    private struct Link {
        var toCoordinator = Lane()
        var toWorker = Lane()

        subscript(direction: Direction) -> Lane {
            get { direction == .toCoordinator ? toCoordinator : toWorker }
            set {
                switch direction {
                case .toCoordinator: toCoordinator = newValue
                case .toWorker: toWorker = newValue
                }
            }
        }
    }

    var weather: Weather
    private var links: [Link]
    private var luck: SeededGenerator
    private var lost = 0
    private var duplicated = 0
    private var overtaken = 0
    private var damaged = 0

    init(links count: Int, weather: Weather, luck: SeededGenerator) {
        links = Array(repeating: Link(), count: count)
        self.weather = weather
        self.luck = luck
    }

    mutating func cut(_ link: Int, _ direction: Direction) { links[link][direction].isCut = true }

    mutating func mend(_ link: Int, _ direction: Direction) { links[link][direction].isCut = false }

    func isCut(_ link: Int, _ direction: Direction) -> Bool { links[link][direction].isCut }

    /// When copies of a message sent now arrive: none when it is lost, two when duplicated.
    mutating func arrivals(on link: Int, _ direction: Direction, at now: Instant) -> [Instant] {
        guard !links[link][direction].isCut, !luck.chance(perMille: weather.loss) else {
            lost += 1
            return []
        }
        let first = arrival(on: link, direction, at: now)
        guard luck.chance(perMille: weather.duplication) else { return [first] }
        duplicated += 1
        return [first, arrival(on: link, direction, at: now)]
    }

    private mutating func arrival(
        on link: Int,
        _ direction: Direction,
        at now: Instant
    ) -> Instant {
        let isLate = luck.chance(perMille: weather.delay)
        let arrival = now + luck.milliseconds(isLate ? 500...4000 : 1...40)
        if luck.chance(perMille: weather.reordering) {
            overtaken += 1
            return arrival
        }
        let inOrder = max(arrival, links[link][direction].lastArrival)
        links[link][direction].lastArrival = inOrder
        return inOrder
    }

    /// Whether a message that arrives now arrives damaged.
    mutating func isDamaged() -> Bool {
        let isDamaged = luck.chance(perMille: weather.corruption)
        if isDamaged { damaged += 1 }
        return isDamaged
    }

    /// What became of messages.
    var mishaps: [String: Int] {
        [
            "message lost": lost, "message doubled": duplicated, "message overtaken": overtaken,
            "message damaged": damaged,
        ]
    }
}
