package import Tensors

/// One tensor of a network: the name its file gives it and the shape it must have.
///
/// The list of a network's parameters serves the synthesizer (to write them) and the tests (to
/// check the loaders and the published parameter counts against one description).
package struct ParameterShape: Equatable, Sendable {
    /// What the tensor does, which decides how random values for it are scaled.
    package enum Role: Equatable, Sendable {
        /// Multiplies; each output sums `fanIn` products.
        case weight(fanIn: Int)
        /// Is added.
        case bias
        /// The scale of a normalisation.
        case scale
        /// A table of vectors.
        case embedding
    }

    /// As the file spells it, `conv_in.weight`.
    package let name: String
    /// In torch's order: outputs before inputs.
    package let shape: Shape
    /// What it does.
    package let role: Role
}

/// Collects parameters under a common prefix.
struct ParameterList {
    private(set) var parameters: [ParameterShape] = []

    private mutating func add(_ name: String, _ extents: [Int], _ role: ParameterShape.Role) {
        parameters.append(ParameterShape(name: name, shape: Shape(extents), role: role))
    }

    /// `name.weight` (output, input) and, unless `bias` is false, `name.bias` (output).
    mutating func linear(_ name: String, _ input: Int, _ output: Int, bias: Bool = true) {
        add("\(name).weight", [output, input], .weight(fanIn: input))
        if bias { add("\(name).bias", [output], .bias) }
    }

    /// `name.weight` (output, input, size, size) and `name.bias` (output).
    mutating func convolution(_ name: String, _ input: Int, _ output: Int, size: Int) {
        add("\(name).weight", [output, input, size, size], .weight(fanIn: input * size * size))
        add("\(name).bias", [output], .bias)
    }

    /// `name.weight` and `name.bias`, (channels) each.
    mutating func norm(_ name: String, _ channels: Int) {
        add("\(name).weight", [channels], .scale)
        add("\(name).bias", [channels], .bias)
    }

    /// `name.weight` (count, width).
    mutating func embedding(_ name: String, _ count: Int, _ width: Int) {
        add("\(name).weight", [count, width], .embedding)
    }

    /// A residual block of two 3×3 convolutions; `embedding` is the width of the timestep
    /// embedding, 0 for none.
    mutating func residual(_ name: String, _ input: Int, _ output: Int, embedding: Int) {
        norm("\(name).norm1", input)
        convolution("\(name).conv1", input, output, size: 3)
        if embedding > 0 { linear("\(name).time_emb_proj", embedding, output) }
        norm("\(name).norm2", output)
        convolution("\(name).conv2", output, output, size: 3)
        if input != output {
            convolution("\(name).conv_shortcut", input, output, size: 1)
        }
    }
}
