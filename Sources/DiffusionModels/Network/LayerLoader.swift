package import ComputeBackends
package import Tensors

/// Reads the layers of one network out of its weights, by the names their file gives them.
///
/// Every method throws ``WeightsError`` naming the file, the tensor, the expected and the found
/// shape.
package struct LayerLoader {
    private let store: WeightStore
    private let backend: any ComputeBackend
    private let preparation: Preparation

    package init(store: WeightStore, backend: any ComputeBackend, preparation: Preparation) {
        self.store = store
        self.backend = backend
        self.preparation = preparation
    }

    /// One tensor of exactly this shape.
    package func tensor(_ name: String, _ shape: Shape) throws(WeightsError) -> DeviceTensor {
        try unsafe DeviceTensor(shape: shape) { (buffer) throws(WeightsError) in
            unsafe try store.read(name, shape: shape, into: buffer)
        }
    }

    /// `name.weight` (outputs, inputs) and, unless `bias` is false, `name.bias` (outputs).
    package func linear(
        _ name: String,
        _ inputs: Int,
        _ outputs: Int,
        bias: Bool = true
    ) throws(WeightsError) -> LinearWeights {
        backend.linearWeights(
            try store.stored("\(name).weight", shape: Shape(outputs, inputs)),
            bias: bias ? try tensor("\(name).bias", Shape(outputs)) : nil,
            preparation: preparation, name: name)
    }

    /// A linear layer that files also spell as a 1×1 convolution: `name.weight` (outputs, inputs)
    /// or (outputs, inputs, 1, 1), and `name.bias` (outputs).
    func pointwise(
        _ name: String,
        _ inputs: Int,
        _ outputs: Int
    ) throws(WeightsError) -> LinearWeights {
        let convolution = Shape(outputs, inputs, 1, 1)
        guard store.shape(of: "\(name).weight") == convolution else {
            return try linear(name, inputs, outputs)
        }
        let weight = try store.stored("\(name).weight", shape: convolution)
        return backend.linearWeights(
            weight.reshaped(to: Shape(outputs, inputs)),
            bias: try tensor("\(name).bias", Shape(outputs)),
            preparation: preparation, name: name)
    }

    /// `name.weight` (outputs, inputs, size, size) and `name.bias` (outputs).
    func convolution(
        _ name: String,
        _ inputs: Int,
        _ outputs: Int,
        size: Int,
        stride: Int = 1
    ) throws(WeightsError) -> ConvolutionWeights {
        backend.convolutionWeights(
            try store.stored("\(name).weight", shape: Shape(outputs, inputs, size, size)),
            bias: try tensor("\(name).bias", Shape(outputs)), stride: stride,
            preparation: preparation, name: name)
    }

    /// `name.weight` and `name.bias`, (channels) each.
    package func norm(_ name: String, _ channels: Int) throws(WeightsError) -> NormWeights {
        NormWeights(
            scale: try tensor("\(name).weight", Shape(channels)),
            shift: try tensor("\(name).bias", Shape(channels)))
    }
}

extension Array {
    /// The elements that `make` gives for every element of `source`, stopping at its first error.
    ///
    /// `Sequence.map` with the element's index and a typed error.
    init<Source: Sequence>(
        loading source: Source,
        _ make: (Int, Source.Element) throws(WeightsError) -> Element
    ) throws(WeightsError) {
        self.init()
        for item in source { append(try make(count, item)) }
    }
}
