/// The numbers of `torch.randn(…, generator=torch.Generator("cpu").manual_seed(seed))`.
///
/// PyTorch fills tensors of 16 elements and more with float32 uniforms and turns them into
/// Gaussians in blocks of 16; smaller ones take float64 pairs one by one. Logarithm, sine and
/// cosine are float32 approximations there, so that the results agree to a few units in the last
/// place rather than to the bit (they differ between PyTorch's own CPU kernels too).
package struct TorchCPUNoise: Sendable {
    private let seed: UInt64

    package init(seed: UInt64) { self.seed = seed }

    /// The first `count` numbers drawn from a fresh generator as one contiguous tensor.
    package func gaussians(count: Int) -> [Float] {
        var twister = MersenneTwister(seed: seed)
        return count < 16
            ? Self.singly(count: count, from: &twister)
            : Self.inBlocks(count: count, from: &twister)
    }

    private static func singly(count: Int, from twister: inout MersenneTwister) -> [Float] {
        var values: [Float] = []
        while values.count < count {
            let angle = 2 * Double.pi * Double(twister.nextPair() & (1 << 53 - 1)) * 0x1p-53
            let uniform = Double(twister.nextPair() & (1 << 53 - 1)) * 0x1p-53
            let radius = (-2 * Elementary.logarithm(1 - uniform)).squareRoot()
            let (sine, cosine) = Elementary.sineAndCosine(angle)
            values += [Float(radius * cosine), Float(radius * sine)]
        }
        return Array(values.prefix(count))
    }

    private static func inBlocks(count: Int, from twister: inout MersenneTwister) -> [Float] {
        var values = (0..<count).map { _ in uniform(from: &twister) }
        for start in stride(from: 0, through: count - 16, by: 16) {
            transform(&values, blockAt: start)
        }
        if count % 16 != 0 {
            // The last, partial block is drawn anew as a whole one, over its neighbour's end.
            for index in (count - 16)..<count { values[index] = uniform(from: &twister) }
            transform(&values, blockAt: count - 16)
        }
        return values
    }

    /// 24 bits in [0, 1).
    private static func uniform(from twister: inout MersenneTwister) -> Float {
        Float(twister.nextWord() & 0xFF_FFFF) * 0x1p-24
    }

    /// Box and Muller over elements i and i + 8 of a block of 16.
    private static func transform(_ values: inout [Float], blockAt start: Int) {
        for index in start..<(start + 8) {
            let logarithm = Float(Elementary.logarithm(Double(1 - values[index])))
            let radius = (-2 * logarithm).squareRoot()
            let angle = 2 * Float.pi * values[index + 8]
            let (sine, cosine) = Elementary.sineAndCosine(Double(angle))
            values[index] = radius * Float(cosine)
            values[index + 8] = radius * Float(sine)
        }
    }
}

/// What decides how PyTorch deals random numbers to the threads of a CUDA device.
package struct CUDADevice: Equatable, Sendable {
    /// At least 1.
    package let multiprocessors: Int
    /// Resident threads, 256 at least.
    package let threadsPerMultiprocessor: Int

    package init(multiprocessors: Int, threadsPerMultiprocessor: Int) {
        precondition(
            multiprocessors > 0 && threadsPerMultiprocessor >= 256,
            "a CUDA device runs at least one block of 256 threads"
        )
        self.multiprocessors = multiprocessors
        self.threadsPerMultiprocessor = threadsPerMultiprocessor
    }

    /// NVIDIA A100: tensors of up to 221,184 elements come out alike on it and on larger devices.
    package static let a100 = CUDADevice(multiprocessors: 108, threadsPerMultiprocessor: 2048)

    /// Threads that PyTorch's kernel starts for `count` elements, in blocks of 256.
    func threads(for count: Int) -> Int {
        let wanted = (count + 255) / 256
        return min(multiprocessors * (threadsPerMultiprocessor / 256), wanted) * 256
    }
}

/// The numbers of `torch.randn(…, generator=torch.Generator("cuda").manual_seed(seed))`.
///
/// Every thread of the kernel owns the Philox subsequence of its number and draws four Gaussians
/// per round, dealt at distances of the thread count. While the tensor has no more elements than
/// the device has threads, each thread gives its first number only and the device does not
/// matter; beyond, PyTorch's own result depends on the device, named by ``CUDADevice``.
/// The device computes with fast float32 intrinsics: agreement is to about 1e-6.
package struct TorchCUDANoise: Sendable {
    private let seed: UInt64
    private let device: CUDADevice

    package init(seed: UInt64, device: CUDADevice = .a100) {
        self.seed = seed
        self.device = device
    }

    /// The first `count` numbers drawn from a fresh generator as one contiguous tensor.
    package func gaussians(count: Int) -> [Float] {
        let threads = max(device.threads(for: count), 1)
        let key = Philox4x32.key(seed: seed)
        return (0..<count).map { element in
            let (thread, draw) = (element % threads, element / threads)
            let words = Philox4x32.block(
                counter: SIMD4(UInt32(draw / 4), 0, UInt32(thread), 0), key: key)
            let isSecondPair = draw % 4 >= 2
            let pair = Self.boxMuller(
                isSecondPair ? words.z : words.x, isSecondPair ? words.w : words.y)
            return draw % 2 == 0 ? pair.0 : pair.1
        }
    }

    /// The mapping of cuRAND: half an increment keeps both uniforms off 0; sine comes first.
    private static func boxMuller(_ first: UInt32, _ second: UInt32) -> (Float, Float) {
        let increment: Float = 0x1p-32
        let uniform = (increment / 2).addingProduct(Float(first), increment)
        let turn = increment * 2 * Float.pi
        let angle = (turn / 2).addingProduct(Float(second), turn)
        let logarithm = Float(Elementary.logarithm(Double(uniform)))
        let radius = (-2 * logarithm).squareRoot()
        let (sine, cosine) = Elementary.sineAndCosine(Double(angle))
        return (radius * Float(sine), radius * Float(cosine))
    }
}
