import Foundation

/// What the system knows about this process.
enum ProcessFacts {
    /// The most memory that was resident at any time, in bytes; 0 where the system does not say.
    static var peakMemoryBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first
        return (kibibytes.flatMap { Int($0) } ?? 0) * 1024
    }

    /// Wall time since the process was started, in seconds, to a hundredth; nil where the system
    /// does not say.
    static var secondsSinceStart: Double? {
        guard let record = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
            // The second field, a name in parentheses, may hold anything.
            let end = record.lastIndex(of: ")")
        else { return nil }
        // The start is field 22 of proc(5), in ticks since the machine was booted.
        let fields = record[record.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
        var now = timespec()
        guard clock_gettime(CLOCK_BOOTTIME, &now) == 0 else { return nil }
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
            - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Memory of the machine, in bytes.
    static var machineMemoryBytes: Double { Double(ProcessInfo.processInfo.physicalMemory) }

    /// How often memory was asked for since the process was started; nil unless a library that
    /// counts was loaded before it (`Benchmarks/count_allocations.c`).
    static var allocationCount: UInt64? { allocationCounter.map { $0() } }

    private typealias Counter = @convention(c) @Sendable () -> UInt64

    /// A null handle searches every loaded library, as RTLD_DEFAULT does.
    private static let allocationCounter: Counter? =
        dlsym(nil, "tessera_allocation_count").map { unsafeBitCast($0, to: Counter.self) }
}

/// Runs `body` and says how long it took, in seconds.
func timed<Value>(_ body: () throws -> Value) rethrows -> (value: Value, seconds: Double) {
    let start = ContinuousClock.now
    let value = try body()
    return (value, (ContinuousClock.now - start) / .seconds(1))
}
