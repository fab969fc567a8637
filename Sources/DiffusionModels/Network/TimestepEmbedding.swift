internal import ComputeBackends
internal import Glibc
internal import Tensors

/// Sinusoids of a number at `width / 2` frequencies from 1 down to 1/10000 (Vaswani et al. 2017,
/// arXiv 1706.03762, section 3.5), as diffusers' `get_timestep_embedding` computes them: in
/// float32, step by step.
package struct SinusoidalEmbedding: Sendable {
    /// Even.
    package let width: Int
    /// Cosines before sines.
    package let flipSineToCosine: Bool
    /// Shortens the range of frequencies: they fall as 10000^(−i/(width/2 − shift)).
    package let frequencyShift: Double

    /// Traps unless `width` is even and positive.
    package init(width: Int, flipSineToCosine: Bool, frequencyShift: Double) {
        precondition(width > 0 && width % 2 == 0, "sines and cosines come in pairs")
        self.width = width
        self.flipSineToCosine = flipSineToCosine
        self.frequencyShift = frequencyShift
    }

    /// The `width` values for one number.
    package func values(of number: Double) -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: width) { buffer, count in
            unsafe fill(UnsafeMutableBufferPointer(rebasing: buffer[..<width]), with: number)
            count = width
        }
    }

    /// Writes the values for one number to `buffer`, which has room for exactly `width`.
    func fill(_ buffer: UnsafeMutableBufferPointer<Float>, with number: Double) {
        precondition(buffer.count == width, "room for \(width) values wanted")
        let half = width / 2
        let divisor = Float(Double(half) - frequencyShift)
        let (sines, cosines) = flipSineToCosine ? (half, 0) : (0, half)
        for index in 0..<half {
            let angle = Float(number) * expf(-logf(10000) * Float(index) / divisor)
            unsafe buffer[sines + index] = sinf(angle)
            unsafe buffer[cosines + index] = cosf(angle)
        }
    }
}

/// Two linear layers with SiLU between: diffusers' `TimestepEmbedding`.
struct EmbeddingMLP: Sendable {
    private let first: LinearWeights
    private let second: LinearWeights

    /// `name.linear_1` (input to output) and `name.linear_2` (output to output).
    init(
        _ loader: LayerLoader,
        _ name: String,
        input: Int,
        output: Int
    ) throws(WeightsError) {
        first = try loader.linear("\(name).linear_1", input, output)
        second = try loader.linear("\(name).linear_2", output, output)
    }

    /// (items, 1, input) to (items, 1, output).
    func apply(
        _ x: DeviceTensor,
        residual: DeviceTensor? = nil,
        on backend: any ComputeBackend
    ) -> DeviceTensor {
        let hidden = backend.linear(x, first, activation: .silu)
        return backend.linear(hidden, second, residual: residual)
    }
}

/// What tells the network when it is and which part of which picture it sees.
struct UNetEmbedding: Sendable {
    private let timeSinusoid: SinusoidalEmbedding
    private let timeMLP: EmbeddingMLP
    private let added: Added?

    private struct Added: Sendable {
        let sinusoid: SinusoidalEmbedding
        let mlp: EmbeddingMLP
        let pooledWidth: Int
    }

    init(
        _ loader: LayerLoader,
        _ configuration: UNetConfiguration
    ) throws(WeightsError) {
        func sinusoid(_ width: Int) -> SinusoidalEmbedding {
            SinusoidalEmbedding(
                width: width, flipSineToCosine: configuration.flipSineToCosine,
                frequencyShift: configuration.frequencyShift)
        }
        let channels = configuration.blockOutChannels[0]
        let width = configuration.timeEmbeddingWidth
        timeSinusoid = sinusoid(channels)
        timeMLP = try EmbeddingMLP(loader, "time_embedding", input: channels, output: width)
        guard let added = configuration.addedConditioning else {
            self.added = nil
            return
        }
        self.added = Added(
            sinusoid: sinusoid(added.timeEmbeddingWidth),
            mlp: try EmbeddingMLP(
                loader, "add_embedding", input: added.inputWidth, output: width),
            pooledWidth: added.pooledWidth)
    }

    /// What the network is told about each item in numbers that the host works out.
    struct Inputs {
        /// Sinusoids of the timestep, (items, 1, width).
        let time: DeviceTensor
        /// The pooled text, then the sinusoids of the six numbers, (items, 1, width); nil for
        /// models without `text_time` conditioning.
        let added: DeviceTensor?
    }

    /// Shapes of the inputs.
    func inputShapes(items: Int) -> (time: Shape, added: Shape?) {
        let added = added.map { Shape(items, 1, $0.pooledWidth + 6 * $0.sinusoid.width) }
        return (Shape(items, 1, timeSinusoid.width), added)
    }

    /// Writes ``Inputs/time``.
    func fillTime(_ buffer: UnsafeMutableBufferPointer<Float>, timestep: Double) {
        for start in stride(from: 0, to: buffer.count, by: timeSinusoid.width) {
            let row = unsafe UnsafeMutableBufferPointer(
                rebasing: buffer[start..<(start + timeSinusoid.width)])
            unsafe timeSinusoid.fill(row, with: timestep)
        }
    }

    /// Writes ``Inputs/added`` from one vector and six numbers per item.
    func fillAdded(
        _ buffer: UnsafeMutableBufferPointer<Float>,
        pooled: (_ item: Int) -> [Float],
        timeIDs: [[Int]]
    ) {
        guard let added else { preconditionFailure("a model without text_time conditioning") }
        let width = added.sinusoid.width
        let row = added.pooledWidth + 6 * width
        precondition(buffer.count == timeIDs.count * row, "room for other items")
        for item in timeIDs.indices {
            let (text, numbers) = (pooled(item), timeIDs[item])
            precondition(
                text.count == added.pooledWidth && numbers.count == 6,
                "\(text.count) numbers of text and \(numbers.count) others")
            var start = item * row
            _ = unsafe buffer[start..<(start + text.count)].update(fromContentsOf: text)
            start += text.count
            for index in numbers.indices {
                let room = unsafe UnsafeMutableBufferPointer(
                    rebasing: buffer[start..<(start + width)])
                unsafe added.sinusoid.fill(room, with: Double(numbers[index]))
                start += width
            }
        }
    }

    /// SiLU of the embedding, the form that every residual block wants: (items, 1, width).
    func apply(_ inputs: Inputs, on backend: any ComputeBackend) -> DeviceTensor {
        var embedding = timeMLP.apply(inputs.time, on: backend)
        if let added, let numbers = inputs.added {
            embedding = added.mlp.apply(numbers, residual: embedding, on: backend)
        }
        return backend.activation(embedding, .silu)
    }
}
