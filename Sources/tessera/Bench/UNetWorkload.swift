import ComputeBackends
import DiffusionModels
import Tensors

/// What the denoising network is asked, made up.
struct UNetInputs {
    /// (items, channels, height, width)
    let sample: Tensor
    /// (items, tokens, width)
    let hiddenStates: Tensor
    /// One per item; empty rows for models without.
    let pooled: [[Float]]
    /// Six numbers per item.
    let timeIDs: [[Int]]
    let timestep = 500.0

    init(folder: ModelFolder, batch: Int, size: LatentSize) {
        let configuration = folder.unet
        let tokens = folder.textEncoders[0].configuration.positions
        sample = SyntheticInput.gaussians(
            Shape(batch, configuration.inChannels, size.height, size.width), seed: 1)
        hiddenStates = SyntheticInput.gaussians(
            Shape(batch, tokens, configuration.crossAttentionWidth), seed: 2)
        if let width = configuration.addedConditioning?.pooledWidth {
            let rows = SyntheticInput.gaussians(Shape(batch, width), seed: 3).elements
            pooled = (0..<batch).map { Array(rows[($0 * width)..<(($0 + 1) * width)]) }
        } else {
            pooled = Array(repeating: [], count: batch)
        }
        let scale = folder.vae.scaleFactor
        let (height, width) = (size.height * scale, size.width * scale)
        timeIDs = Array(repeating: [height, width, 0, 0, height, width], count: batch)
    }

    /// The texts as the network looks at them.
    func texts(of unet: UNet, on backend: any ComputeBackend) -> UNet.Texts {
        unet.texts(hiddenStates: DeviceTensor(hiddenStates), pooled: pooled, on: backend)
    }

    /// Everything by name.
    var tensors: [NamedTensor] {
        let items = timeIDs.count
        var tensors: [NamedTensor] = [
            ("sample", sample),
            ("timestep", Tensor(shape: Shape(1), elements: [Float(timestep)])),
            ("hidden_states", hiddenStates),
            (
                "time_ids",
                Tensor(shape: Shape(items, 6), elements: timeIDs.joined().map { Float($0) })
            ),
        ]
        if let width = pooled.first?.count, width > 0 {
            let rows = Tensor(shape: Shape(items, width), elements: Array(pooled.joined()))
            tensors.append(("pooled", rows))
        }
        return tensors
    }
}

/// One evaluation of the denoising network.
struct UNetWorkload: Workload {
    let inputs: UNetInputs
    /// Laid out ahead, as pictures are made.
    let forward: UNet.Forward
    let watcher: ProfilingBackend
    private let unet: UNet
    private let texts: UNet.Texts
    private let backend: CPUBackend
    /// (items, height, width, channels)
    private let sample: DeviceTensor

    /// Lays out a forward for the inputs, with a text for each.
    init(unet: UNet, inputs: UNetInputs, texts: UNet.Texts, backend: CPUBackend) throws {
        let shape = inputs.sample.shape
        guard
            let forward = try UNet.Forward(
                unet, items: shape[0], height: shape[2], width: shape[3], texts: texts.count,
                tokens: texts.tokens, on: backend)
        else { preconditionFailure("this backend lays out forwards") }
        self.unet = unet
        self.inputs = inputs
        self.texts = texts
        self.backend = backend
        self.forward = forward
        watcher = ProfilingBackend(backend)
        sample = backend.channelsLast(DeviceTensor(inputs.sample))
    }

    func run() { predict { _ in } }

    func runKeeping() -> [NamedTensor] {
        let output = predict { Tensor(shape: $0.shape, elements: $0.elements) }
        return inputs.tensors + [("output", output)]
    }

    private func predict<Answer: Sendable>(_ read: (DeviceTensor) -> Answer) -> Answer {
        forward.predict(
            timestep: inputs.timestep, texts: texts, timeIDs: inputs.timeIDs,
            sample: { _ = $0.update(fromContentsOf: inputs.sample.elements) }, read: read)
    }

    func watchedRun() { predict(sample, on: watcher) }

    func operations() -> [OperationRecord] {
        backend.recordedOperations { recorder, counter in
            predict(recorder.input(sample.shape), on: counter)
        }
    }

    private func predict(_ sample: DeviceTensor, on backend: any ComputeBackend) {
        _ = unet.predict(
            sample: sample, timestep: inputs.timestep, texts: texts, timeIDs: inputs.timeIDs,
            on: backend)
    }
}
