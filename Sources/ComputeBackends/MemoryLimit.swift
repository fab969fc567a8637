internal import CKernels
internal import Foundation
internal import Glibc

/// What the user allows this process (`ulimit -v`, `ulimit -d`) and what it has of that, in bytes.
package struct MemoryLimit: Equatable, Sendable {
    /// `ulimit -v` or `ulimit -d`, of which the tighter one counts.
    package let name: String
    package let allowed: Int
    package let used: Int

    package init(name: String, allowed: Int, used: Int) {
        self.name = name
        self.allowed = allowed
        self.used = used
    }

    /// What holds now; nil without a limit.
    package static var current: MemoryLimit? {
        var limit = unsafe tsr_memory_limit()
        guard unsafe tsr_memory_limit_now(&limit), let name = unsafe limit.name else { return nil }
        return unsafe MemoryLimit(
            name: String(cString: name), allowed: limit.allowed, used: limit.used)
    }

    /// The least `memory.max` of the control groups (version 2) around this process, in bytes: what
    /// a container may have. Beyond it the system kills, instead of refusing.
    package static var ofControlGroup: Int? {
        let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
        guard let line = groups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
        else { return nil }
        var group = "/sys/fs/cgroup" + line.dropFirst("0::".count)
        var limits: [Int] = []
        while group.hasPrefix("/sys/fs/cgroup") {
            let text = try? String(contentsOfFile: group + "/memory.max", encoding: .utf8)
            if let limit = text.flatMap({ Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) })
            {
                limits.append(limit)
            }
            group = String(group.prefix(upTo: group.lastIndex(of: "/") ?? group.startIndex))
        }
        return limits.min()
    }

    /// What has to be left before a picture is begun, for all that nothing can refuse: the stacks
    /// of threads, and what Swift's runtime and the libraries allocate on the way.
    package static let leftAtStart = 48 << 20

    /// What a large allocation leaves at any time.
    static let alwaysLeft = 16 << 20

    /// From this size on an allocation is looked at before it is made, in bytes.
    static let smallestChecked = 1 << 20

    /// Throws ``MemoryShortage`` unless this process may have `bytes` more, for `purpose`, and has
    /// `rest` left.
    package static func check(
        _ bytes: Int, for purpose: String, leaving rest: Int
    ) throws(MemoryShortage) {
        guard let limit = current, bytes > limit.allowed - limit.used - rest else { return }
        throw MemoryShortage(purpose: purpose, wanted: bytes, rest: rest, limit: limit)
    }
}

/// Memory that is not to be had.
package struct MemoryShortage: Error, Equatable, CustomStringConvertible {
    /// What it was wanted for, such as `the weights`.
    package let purpose: String
    /// In bytes.
    package let wanted: Int
    /// What has to be left beside it, in bytes.
    package let rest: Int
    /// What is in the way; nil when it is the machine itself.
    package let limit: MemoryLimit?

    package init(purpose: String, wanted: Int, rest: Int, limit: MemoryLimit?) {
        self.purpose = purpose
        self.wanted = wanted
        self.rest = rest
        self.limit = limit
    }

    /// One sentence for a person.
    package var description: String {
        let wish = "out of memory: \(Self.mebibytes(wanted)) are wanted for \(purpose)"
        let advice = "choose fewer --threads or a smaller --memory-budget"
        guard let limit else {
            return wish + ", and the system has not so much; close other programs, or \(advice)"
        }
        let need =
            wanted == 0
            ? "out of memory: \(Self.mebibytes(rest)) have to be left for \(purpose), but "
            : wish + " and \(Self.mebibytes(rest)) have to stay free beside it, but "
        return need
            + "\(limit.name) allows \(Self.mebibytes(limit.allowed)), of which "
            + "\(Self.mebibytes(limit.used)) are taken; raise it, or \(advice)"
    }

    /// Says so and ends the process with code 65 (EX_DATAERR): where nothing can be thrown, this is
    /// what is left, and Swift's own way is to end without a word.
    func end() -> Never {
        let sentence = "tessera: \(self)\n"
        _ = unsafe write(STDERR_FILENO, sentence, sentence.utf8.count)
        _exit(65)
    }

    private static func mebibytes(_ bytes: Int) -> String {
        "\((bytes >> 20) + (bytes & 0xFFFFF == 0 ? 0 : 1)) MiB"
    }
}
