package import ComputeBackends
internal import Tensors

extension VAEDecoder {
    /// Decoding of latents of one size, laid out ahead: it allocates nothing. The same values as
    /// ``VAEDecoder/decode(_:on:)``.
    ///
    /// One decoding at a time, from any thread.
    package final class Forward: Sendable {
        /// The operations and their memory.
        package let plan: ForwardPlan

        /// Plans for `items` latents of `height`×`width`. Nil for a backend that only computes at
        /// once. Throws `MemoryShortage` when there is no room.
        package init?(
            _ decoder: VAEDecoder,
            items: Int,
            height: Int,
            width: Int,
            on backend: any ComputeBackend
        ) throws(MemoryShortage) {
            guard let recorder = backend.recorder() else { return nil }
            let latents = recorder.input(
                Shape(items, decoder.configuration.latentChannels, height, width))
            plan = try recorder.plan(
                output: decoder.decode(recorder.channelsLast(latents), on: recorder))
        }

        /// Decodes once. `latents` writes all of (items, channels, h, w), channels first, already
        /// divided by the scaling factor; `read` sees what ``VAEDecoder/decode(_:on:)`` gives,
        /// (items, h·s, w·s, 3), which is gone when it returns. Neither may use this forward.
        package func decode<Result: Sendable>(
            latents: (UnsafeMutableBufferPointer<Float>) -> Void,
            read: (DeviceTensor) -> Result
        ) -> Result {
            unsafe plan.run(
                fill: { _, buffer in unsafe latents(buffer) },
                bind: { _ in preconditionFailure("nothing comes along with latents") },
                read: read)
        }
    }
}
