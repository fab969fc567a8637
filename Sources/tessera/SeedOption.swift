import ArgumentParser
import Tensors

/// What `--seed` says.
enum SeedOption: Hashable, CustomStringConvertible {
    case number(UInt64)
    /// Another one every time.
    case random

    /// `random`, or the -1 that stands for it in other programs, or a number.
    init(_ text: String) throws {
        if text == "random" || text == "-1" {
            self = .random
        } else if let number = UInt64(text) {
            self = .number(number)
        } else {
            throw ValidationError(
                "a seed is a whole number from 0 to \(UInt64.max); random, or -1, draws one")
        }
    }

    var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .random: "random"
        }
    }

    /// The seed to take: a drawn one has 32 bits, so that it can be typed, and is exact in every
    /// program's JSON. `kept` is the one of a run that goes on; it stands for a drawn one.
    func settled(kept: UInt64? = nil) -> UInt64 {
        switch self {
        case .number(let number): number
        case .random: kept ?? .random(in: 0...UInt64(UInt32.max))
        }
    }

    /// The seed of a job: drawn once for each name, because the same name is one job, however
    /// often it is submitted.
    func settled(forJob id: String) -> UInt64 {
        var digest = Fingerprinter()
        digest.add(id)
        return settled(kept: digest.fingerprint.value & UInt64(UInt32.max))
    }
}
