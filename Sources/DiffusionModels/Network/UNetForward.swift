package import ComputeBackends
internal import Tensors

extension UNet {
    /// Predictions for samples of one size, laid out ahead: they allocate nothing. The same bytes
    /// as ``UNet/predict(sample:timestep:texts:timeIDs:on:)``.
    ///
    /// One prediction at a time, from any thread.
    package final class Forward: Sendable {
        /// The operations and their memory.
        package let plan: ForwardPlan
        private let embedding: UNetEmbedding
        private let items: Int
        private let texts: Int
        private let tokens: Int

        /// Plans for `items` samples of `height`×`width`, and for `texts` texts of `tokens`
        /// tokens, which divide the items. Nil for a backend that only computes at once. Throws
        /// `MemoryShortage` when there is no room.
        package init?(
            _ unet: UNet,
            items: Int,
            height: Int,
            width: Int,
            texts: Int,
            tokens: Int,
            on backend: any ComputeBackend
        ) throws(MemoryShortage) {
            precondition(texts > 0 && items % texts == 0, "\(items) items and \(texts) texts")
            guard let recorder = backend.recorder() else { return nil }
            let channels = unet.configuration.inChannels
            let shapes = unet.embedding.inputShapes(items: items)
            let sample = recorder.input(Shape(items, channels, height, width))
            let inputs = UNetEmbedding.Inputs(
                time: recorder.input(shapes.time), added: shapes.added.map(recorder.input))
            let text = unet.textChannels.map { channels in
                KeysAndValues(
                    keys: recorder.boundInput(Shape(texts, tokens, channels)),
                    values: recorder.boundInput(Shape(texts, tokens, channels)))
            }
            let prediction = unet.apply(
                recorder.channelsLast(sample), inputs, text: text, on: recorder)
            plan = try recorder.plan(output: recorder.channelsFirst(prediction))
            embedding = unet.embedding
            self.items = items
            self.texts = texts
            self.tokens = tokens
        }

        /// Predicts once. `sample` writes all of (items, in, height, width), channels first;
        /// `read` sees (items, out, height, width), which is gone when it returns. Neither may
        /// use this forward.
        ///
        /// Texts and `timeIDs` are those of ``UNet/predict(sample:timestep:texts:timeIDs:on:)``.
        package func predict<Result: Sendable>(
            timestep: Double,
            texts: Texts,
            timeIDs: [[Int]],
            sample: (UnsafeMutableBufferPointer<Float>) -> Void,
            read: (DeviceTensor) -> Result
        ) -> Result {
            precondition(
                timeIDs.count == items && texts.count == self.texts && texts.tokens == tokens,
                "planned for \(items) items and \(self.texts) texts of \(tokens) tokens")
            return unsafe plan.run(
                fill: { input, buffer in
                    switch input {
                    case 0: unsafe sample(buffer)
                    case 1: unsafe embedding.fillTime(buffer, timestep: timestep)
                    default:
                        unsafe embedding.fillAdded(
                            buffer, pooled: { texts.pooled(item: $0, of: items) },
                            timeIDs: timeIDs)
                    }
                },
                bind: { number in
                    let entry = texts.entries[number / 2]
                    return ForwardPlan.Bound(
                        number % 2 == 0 ? entry.keys : entry.values,
                        firstItem: texts.range.lowerBound)
                },
                read: read)
        }
    }
}
