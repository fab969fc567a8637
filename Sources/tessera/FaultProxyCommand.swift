import ArgumentParser
import Dispatch
import ClusterCore
import FaultInjection
import Foundation
import OutputChannels
import UnixSignals
import ZeroMQTransport

/// A bad network between a worker and its coordinator.
struct FaultProxyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault-proxy",
        abstract: "Forward TCP connections under bad conditions, for drills and tests.",
        discussion: """
            Workers connect to --listen instead of to the coordinator. Instructions are read from \
            standard input, one per line: cut up, cut down, cut both, heal, reset, delay 200ms, \
            jitter 100ms, rate 1MB/s, rate off, reset-every 2s, reset-every off, status. Each is \
            answered by a JSON object on standard output. SIGTERM, SIGINT and SIGHUP end it.

            A cut stalls a direction as lost packets do: what was sent arrives when it heals, and \
            connections dialled meanwhile do not come about.

            EXAMPLES
              tessera fault-proxy --listen 127.0.0.1:6000 --to 127.0.0.1:5570 --delay 200ms
              tessera worker --connect tcp://127.0.0.1:6000
            """
    )

    @Option(help: ArgumentHelp("Where to listen; port 0 is a free one.", valueName: "host:port"))
    var listen: String

    @Option(help: ArgumentHelp("Where to forward to.", valueName: "host:port"))
    var to: String

    @Option(
        help: ArgumentHelp("Bytes arrive so much later.", valueName: "time"),
        transform: { text throws in try time(text) })
    var delay: Duration = .zero

    @Option(
        help: ArgumentHelp("The delay varies by up to so much, both ways.", valueName: "time"),
        transform: { text throws in try time(text) })
    var jitter: Duration = .zero

    @Option(
        help: ArgumentHelp("Each direction of a connection passes so much.", valueName: "1MB/s"),
        transform: { text throws in
            guard let rate = ProxyInstruction.rate(text) else {
                throw ValidationError("expected something like 1MB/s, 64kB/s or 500B/s")
            }
            return rate
        })
    var throttle: Int?

    @Option(
        help: ArgumentHelp("Reset all connections so often.", valueName: "time"),
        transform: { text throws in try time(text) })
    var resetEvery: Duration?

    @Option(
        help: ArgumentHelp(
            "Begin with a cut: up to the coordinator, down from it, or both.", valueName: "way"),
        transform: { text throws in
            switch text {
            case "both": Set(LinkDirection.allCases)
            default:
                if let direction = LinkDirection(rawValue: text) {
                    [direction]
                } else {
                    throw ValidationError("expected up, down or both")
                }
            }
        })
    var cut: Set<LinkDirection> = []

    @Flag(help: "Allow an address that other machines can reach.")
    var insecure = false

    private static func time(_ text: String) throws -> Duration {
        guard let time = ProxyInstruction.time(text) else {
            throw ValidationError("expected something like 200ms or 1.5s")
        }
        return time
    }

    func validate() throws {
        if jitter > delay {
            throw ValidationError("--jitter should be at most --delay: nothing arrives early")
        }
        if let resetEvery, resetEvery == .zero {
            throw ValidationError("--reset-every should be more than nothing")
        }
    }

    func run() throws {
        let address = try ListenAddress(
            lookingUp: listen.hasPrefix("tcp://") ? listen : "tcp://" + listen)
        guard insecure || address.staysOnMachine else {
            throw TransportError.plaintextRefused("\(address)")
        }
        var conditions = LinkConditions()
        conditions.delay = delay
        conditions.jitter = jitter
        conditions.bytesPerSecond = throttle
        conditions.resetEvery = resetEvery
        conditions.cut = cut
        let stop = try SignalPipe(Signals.ending.map(\.rawValue))
        let proxy: TCPProxy
        do throws(ProxyError) {
            proxy = try TCPProxy(
                listening: "\(address.addresses[0])", to: to, conditions: conditions)
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
        say("tessera: A BAD NETWORK on purpose: forwarding \(proxy.address) to \(to)")
        Self.answer(Answer(did: "listen", address: proxy.address, problem: nil, counts: nil))
        proxy.run(until: stop.descriptor, instructions: STDIN_FILENO) { outcome, counts in
            switch outcome {
            case .success(let instruction):
                Self.answer(
                    Answer(did: "\(instruction)", address: nil, problem: nil, counts: counts))
            case .failure(let error):
                Self.answer(Answer(did: nil, address: nil, problem: "\(error)", counts: counts))
            }
        }
    }

    private struct Answer: Encodable {
        let did: String?
        let address: String?
        let problem: String?
        let counts: ProxyCounts?
        let ms = monotonicMilliseconds()
    }

    private static func answer(_ answer: Answer) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let line = try? encoder.encode(answer) else { return }
        Output.events.send(line + [UInt8(ascii: "\n")])
    }
}

/// Becomes readable when one of some signals arrives, whichever thread takes it.
private final class SignalPipe {
    let descriptor: Int32
    private let bell: Int32
    private let sources: [any DispatchSourceSignal]

    init(_ signals: [Int32]) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            throw CommandFailure(.bug, "no descriptor for signals is left")
        }
        let bell = ends[1]
        (descriptor, self.bell) = (ends[0], bell)
        let isHeard = DispatchSemaphore(value: 0)
        sources = signals.map { signal in
            let source = DispatchSource.makeSignalSource(signal: signal, queue: .global())
            source.setEventHandler { _ = write(bell, [1] as [UInt8], 1) }
            source.setRegistrationHandler { isHeard.signal() }
            source.resume()
            isHeard.wait()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
        close(descriptor)
        close(bell)
    }
}
