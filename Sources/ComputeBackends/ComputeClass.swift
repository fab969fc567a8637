internal import CKernels

/// What decides the last bits of an answer, besides the weights: machines of one class compute
/// the same bytes, machines of different classes agree within rounding.
package struct ComputeClass: Hashable, Sendable, CustomStringConvertible {
    /// `cpu`, or `reference` for the plain one.
    package let backend: String
    /// Of this program's own kernels, as ``InstructionSet`` names it.
    package let instructionSet: String
    /// The processor type whose kernels OpenBLAS chose, such as `SkylakeX`.
    package let blasCore: String

    package init(backend: String, instructionSet: String, blasCore: String) {
        self.backend = backend
        self.instructionSet = instructionSet
        self.blasCore = blasCore
    }

    /// `cpu/avx512/SkylakeX`
    package var description: String { "\(backend)/\(instructionSet)/\(blasCore)" }
}

/// Facts about the OpenBLAS library in use.
package enum BLASLibrary {
    /// Its own description, version first: `OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …`.
    package static var configuration: String { unsafe String(cString: tsr_blas_config()) }

    /// The processor type whose kernels it chose.
    package static var core: String { unsafe String(cString: tsr_blas_core()) }
}
