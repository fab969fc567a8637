/// The configurations that can be synthesized by name.
package enum ModelPreset: String, Sendable, CaseIterable {
    case tiny
    case tinySD15 = "tiny-sd15"
    case mini
    case sd15
    case sdxl

    /// One line for help texts.
    package var summary: String {
        switch self {
        case .tiny: "SDXL's shape at tiny width, native 128 px: for tests"
        case .tinySD15: "Stable Diffusion 1.5's shape at tiny width, native 128 px: for tests"
        case .mini: "SDXL in miniature, a UNet of 22 million parameters, native 256 px"
        case .sd15: "the sizes of Stable Diffusion 1.5, native 512 px"
        case .sdxl: "the sizes of SDXL 1.0 base, native 1024 px"
        }
    }

    var blueprint: ModelBlueprint {
        switch self {
        case .tiny: .tiny
        case .tinySD15: .tinySD15
        case .mini: .mini
        case .sd15: .sd15
        case .sdxl: .sdxl
        }
    }
}
