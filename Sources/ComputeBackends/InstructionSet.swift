internal import CKernels
internal import Glibc

/// The processor instructions that this program's kernels exist for, least first.
package enum InstructionSet: String, CaseIterable, Sendable, Comparable {
    /// Whatever every processor of the architecture has.
    case scalar
    case avx2
    case avx512

    /// Name of the environment variable that asks for one of them.
    package static let environmentVariable = "TESSERA_ISA"

    package static func < (lhs: InstructionSet, rhs: InstructionSet) -> Bool {
        lhs.code.rawValue < rhs.code.rawValue
    }

    /// Whether this machine has it.
    package var isAvailable: Bool { tsr_isa_available(code) }

    /// Those this machine has, least first; never empty.
    package static var available: [InstructionSet] { allCases.filter(\.isAvailable) }

    /// The one that `TESSERA_ISA` asks for, or the best that the machine has.
    ///
    /// Throws ``BackendError`` when it asks for one that is unknown or unavailable.
    package static func chosen() throws(BackendError) -> InstructionSet {
        let variable = unsafe getenv(environmentVariable)
        return try chosen(asked: unsafe variable.map { unsafe String(cString: $0) })
    }

    /// As ``chosen()``, with the variable's value given; nil and empty ask for nothing.
    package static func chosen(asked: String?) throws(BackendError) -> InstructionSet {
        guard let asked, !asked.isEmpty else { return available.last ?? .scalar }
        guard let set = InstructionSet(rawValue: asked), set.isAvailable else {
            throw .unavailableInstructionSet(asked: asked, available: available)
        }
        return set
    }

    var code: tsr_isa {
        switch self {
        case .scalar: TSR_ISA_SCALAR
        case .avx2: TSR_ISA_AVX2
        case .avx512: TSR_ISA_AVX512
        }
    }
}

/// Why a backend cannot start.
package enum BackendError: Error, Equatable, CustomStringConvertible {
    /// `asked` is no instruction set, or not one of this machine's.
    case unavailableInstructionSet(asked: String, available: [InstructionSet])
    /// A thread count outside 1...`most`.
    case threadCount(Int, most: Int)
    /// The system gave no memory or threads.
    case cannotStart(threads: Int)
    /// So many threads need more memory than the user allows.
    case outOfMemory(MemoryShortage)

    package var description: String {
        switch self {
        case .unavailableInstructionSet(let asked, let available):
            "\(InstructionSet.environmentVariable)=\(asked): this machine can do "
                + available.map(\.rawValue).joined(separator: ", ")
        case .threadCount(let count, let most):
            "\(count) threads: a number from 1 to \(most) is wanted"
        case .cannotStart(let threads):
            threads == 1
                ? "the system refused to start a thread"
                : "the system refused to start \(threads) threads; ask for fewer"
        case .outOfMemory(let shortage):
            "\(shortage)"
        }
    }
}
