import ComputeBackends
import Sampling
import Tensors

/// Made-up inputs: the same numbers on every machine.
enum SyntheticInput {
    /// Values from N(0, 1) of any shape; equal shapes and seeds have equal values.
    static func gaussians(_ shape: Shape, seed: UInt64) -> Tensor {
        let width = shape[shape.rank - 1]
        let noise = InitialNoise.native.latent(
            channels: 1, height: shape.count / width, width: width, seed: seed)
        return Tensor(shape: shape, elements: noise.values)
    }

    /// Values around 0 that are quick to make, for operations whose answer nobody looks at.
    static func filler(_ extents: Int...) -> DeviceTensor {
        let shape = Shape(extents)
        let period = 4093
        return DeviceTensor(shape: shape) { buffer in
            for index in 0..<min(period, buffer.count) {
                buffer[index] = Float(index * 1777 % period) / Float(period) - 0.5
            }
            var done = period
            while done < buffer.count {
                let more = min(done, buffer.count - done)
                _ = buffer[done..<(done + more)].update(fromContentsOf: buffer[0..<more])
                done += more
            }
        }
    }
}
