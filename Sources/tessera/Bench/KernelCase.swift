import ComputeBackends
import Tensors

/// One operation at one size.
struct KernelCase: Sendable {
    let name: String
    /// Makes the operands, and gives what performs the operation once.
    let prepare: @Sendable (ProfilingBackend) -> () -> Void

    static let all: [KernelCase] =
        products + convolutions + attentions + normalizations + elementwise

    private static let products = [
        linear("sdxl-linear-640", 4096, 640, 640),
        linear("sdxl-linear-1280", 1024, 1280, 1280),
        linear("sdxl-feed-forward-in", 1024, 1280, 10240),
        linear("sdxl-feed-forward-out", 1024, 5120, 1280),
        linear("sdxl-text-keys", 77, 2048, 1280),
        KernelCase(name: "sdxl-feed-forward-gated") { backend in
            let x = SyntheticInput.filler(1, 1024, 1280)
            let weights = backend.linearWeights(
                SyntheticInput.filler(10240, 1280), bias: SyntheticInput.filler(10240))
            return { _ = backend.linearGEGLU(x, weights) }
        },
        linear("mini-linear", 256, 256, 256),
    ]

    private static let convolutions = [
        convolution("sdxl-convolution-320", side: 128, 320, 320),
        convolution("sdxl-convolution-640", side: 64, 640, 640),
        convolution("sdxl-convolution-1280", side: 32, 1280, 1280),
        convolution("sdxl-convolution-stride-2", side: 128, 320, 320, stride: 2),
        convolution("vae-convolution-512", side: 128, 512, 512),
        convolution("vae-convolution-128", side: 512, 128, 128),
        convolution("mini-convolution", side: 32, 64, 64),
    ]

    private static let attentions = [
        attention("sdxl-self-attention-640", tokens: 4096, seen: 4096, heads: 10),
        attention("sdxl-self-attention-1280", tokens: 1024, seen: 1024, heads: 20),
        attention("sdxl-cross-attention", tokens: 4096, seen: 77, heads: 10),
        attention("mini-self-attention", tokens: 256, seen: 256, heads: 4),
    ]

    private static let normalizations = [
        groupNorm("sdxl-group-norm-silu", side: 128, 320),
        groupNorm("mini-group-norm-silu", side: 32, 64),
        KernelCase(name: "sdxl-layer-norm") { backend in
            let x = SyntheticInput.filler(1, 4096, 640)
            let weights = norm(640)
            return { _ = backend.layerNorm(x, weights, epsilon: 1e-5) }
        },
    ]

    private static let elementwise = [
        KernelCase(name: "sdxl-geglu") { backend in
            let x = SyntheticInput.filler(1, 4096, 2 * 2560)
            return { _ = backend.geglu(x) }
        },
        KernelCase(name: "sdxl-silu") { backend in
            let x = SyntheticInput.filler(1, 128, 128, 320)
            return { _ = backend.activation(x, .silu) }
        },
        KernelCase(name: "sdxl-add") { backend in
            let x = SyntheticInput.filler(1, 128, 128, 320)
            return { _ = backend.add(x, x) }
        },
        KernelCase(name: "sdxl-concatenate") { backend in
            let x = SyntheticInput.filler(1, 128, 128, 320)
            return { _ = backend.concatenateChannels(x, x) }
        },
        KernelCase(name: "sdxl-upsample") { backend in
            let x = SyntheticInput.filler(1, 64, 64, 640)
            return { _ = backend.upsampleNearest(x, height: 128, width: 128) }
        },
    ]

    private static func linear(
        _ name: String, _ rows: Int, _ inputs: Int, _ outputs: Int
    ) -> KernelCase {
        KernelCase(name: name) { backend in
            let x = SyntheticInput.filler(1, rows, inputs)
            let weights = backend.linearWeights(
                SyntheticInput.filler(outputs, inputs), bias: SyntheticInput.filler(outputs))
            return { _ = backend.linear(x, weights) }
        }
    }

    private static func convolution(
        _ name: String, side: Int, _ inputs: Int, _ outputs: Int, stride: Int = 1
    ) -> KernelCase {
        KernelCase(name: name) { backend in
            let x = SyntheticInput.filler(1, side, side, inputs)
            let weights = backend.convolutionWeights(
                SyntheticInput.filler(outputs, inputs, 3, 3),
                bias: SyntheticInput.filler(outputs), stride: stride)
            return { _ = backend.convolution(x, weights, padding: Padding(1)) }
        }
    }

    /// Heads of 64 channels, as SDXL has them.
    private static func attention(
        _ name: String, tokens: Int, seen: Int, heads: Int
    ) -> KernelCase {
        KernelCase(name: name) { backend in
            let queries = SyntheticInput.filler(1, tokens, heads * 64)
            let keys = SyntheticInput.filler(1, seen, heads * 64)
            return {
                _ = backend.attention(
                    queries: queries, keys: keys, values: keys, heads: heads, causal: false)
            }
        }
    }

    private static func groupNorm(_ name: String, side: Int, _ channels: Int) -> KernelCase {
        KernelCase(name: name) { backend in
            let x = SyntheticInput.filler(1, side, side, channels)
            let weights = norm(channels)
            return {
                _ = backend.groupNorm(x, weights, groups: 32, epsilon: 1e-5, silu: true)
            }
        }
    }

    private static func norm(_ channels: Int) -> NormWeights {
        NormWeights(
            scale: SyntheticInput.filler(channels), shift: SyntheticInput.filler(channels))
    }
}
