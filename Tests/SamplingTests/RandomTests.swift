import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

@Suite("Counter-based random numbers (Salmon et al., SC 2011)", .watched)
struct RandomTests {
    @Test("Philox 4x32-10 gives Random123's known answers")
    func knownAnswers() {
        let all = UInt32.max
        #expect(
            Philox4x32.block(counter: SIMD4(0, 0, 0, 0), key: SIMD2(0, 0))
                == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        #expect(
            Philox4x32.block(counter: SIMD4(all, all, all, all), key: SIMD2(all, all))
                == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        #expect(
            Philox4x32.block(
                counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
                key: SIMD2(0xa409_3822, 0x299f_31d0))
                == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    @Test("A stream depends on seed, purpose, step and index, and on nothing else")
    func streams() {
        func first(_ seed: UInt64, _ purpose: RandomPurpose, _ step: Int, _ index: Int) -> UInt64 {
            var stream = PhiloxGenerator(seed: seed, purpose: purpose, step: step, index: index)
            return stream.next()
        }
        let base = first(7, .jitter, 3, 5)
        #expect(base == first(7, .jitter, 3, 5))
        let others = [
            first(8, .jitter, 3, 5), first(7 + 1 << 32, .jitter, 3, 5),
            first(7, .interaction, 3, 5), first(7, .jitter, 4, 5), first(7, .jitter, 3, 6),
        ]
        #expect(Set(others + [base]).count == 6)
    }

    @Test("Golden numbers: they are part of every picture and never change")
    func goldens() {
        var stream = PhiloxGenerator(seed: 42, purpose: .jitter, step: 1, index: 2)
        #expect((0..<6).map { _ in stream.uniform(in: -8...8) } == [3, 7, 5, 2, 8, -6])
        let noise = InitialNoise.native.latent(channels: 2, height: 2, width: 3, seed: 42)
        #expect(CRC32C.of(noise.values) == 0x167b_2200)
    }

    @Test("Whole numbers are uniform, chi-square at one in a thousand", arguments: [3, 10, 17])
    func uniformity(bound: UInt32) {
        var stream = PhiloxGenerator(seed: 1, purpose: .jitter, step: 0, index: 0)
        var counts = [Int](repeating: 0, count: Int(bound))
        let draws = 20_000
        for _ in 0..<draws { counts[Int(stream.uniform(below: bound))] += 1 }
        let expected = Double(draws) / Double(bound)
        let chi = counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) }
        let limits: [UInt32: Double] = [3: 13.8, 10: 27.9, 17: 39.3]
        #expect(chi / expected < limits[bound] ?? 0)
    }

    @Test("Numbers that would weigh double are drawn again")
    func rejection() {
        // 2³² mod (2³¹ + 1) words would favour small numbers without rejection.
        var stream = PhiloxGenerator(seed: 5, purpose: .jitter, step: 0, index: 0)
        let bound = UInt32(1 << 31) + 1
        var low = 0
        for _ in 0..<4000 where stream.uniform(below: bound) < bound / 2 { low += 1 }
        #expect(abs(low - 2000) < 200)
    }

    @Test("Gaussians have the moments of N(0, 1)")
    func moments() {
        let noise = InitialNoise.native.latent(channels: 4, height: 64, width: 65, seed: 3)
        let values = noise.values.map(Double.init)
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
        let fourth = values.reduce(0) { $0 + pow($1 - mean, 4) } / count / (variance * variance)
        #expect(abs(mean) < 0.03)
        #expect(abs(variance - 1) < 0.05)
        #expect(abs(fourth - 3) < 0.2)
    }

    @Test("A larger canvas continues a smaller one")
    func continuation() {
        let small = InitialNoise.native.latent(channels: 2, height: 3, width: 5, seed: 9)
        let large = InitialNoise.native.latent(channels: 2, height: 4, width: 8, seed: 9)
        for channel in 0..<2 {
            for row in 0..<3 {
                for column in 0..<5 {
                    #expect(
                        small.values[(channel * 3 + row) * 5 + column]
                            == large.values[(channel * 4 + row) * 8 + column])
                }
            }
        }
    }

    @Test("exp, log, sine and cosine agree with the C library")
    func elementary() {
        for index in 1...2000 {
            let x = Double(index) * 0.00371
            for value in [x, x * 1e-9, x * 1e9, 1 - x / 8] where value > 0 {
                let expected = log(value)
                #expect(
                    abs(Elementary.logarithm(value) - expected) <= 4e-16 * abs(expected) + 1e-18)
            }
            #expect(abs(Elementary.exponential(-x) / exp(-x) - 1) < 1e-15)
            let (sine, cosine) = Elementary.sineAndCosine(x)
            #expect(abs(Elementary.arccosine(cosine) - acos(cosine)) < 1e-7)
            #expect(abs(sine - sin(x)) < 4e-16)
            #expect(abs(cosine - cos(x)) < 4e-16)
        }
        #expect(Elementary.logarithm(0) == -.infinity)
        #expect(Elementary.logarithm(-1).isNaN)
        #expect(Elementary.exponential(0) == 1)
    }
}

@Suite("The initial noise of PyTorch", .watched)
struct TorchNoiseTests {
    @Test("torch.Generator(\"cpu\") draws the same numbers", arguments: Goldens.all.noise)
    func cpu(golden: Goldens.Noise) {
        let values = InitialNoise.torchCPU.latent(
            channels: golden.shape[1], height: golden.shape[2], width: golden.shape[3],
            seed: golden.seed
        ).values
        func close(_ found: some Sequence<Float>, _ expected: [Float]) {
            for (value, golden) in zip(found, expected) {
                #expect(abs(value - golden) <= 2e-6 * max(1, abs(golden)))
            }
        }
        close(values.prefix(8), golden.first)
        close(values.suffix(20), golden.last)
        let sum = values.reduce(0.0) { $0 + Double($1) }
        #expect(abs(sum - golden.sum) < 1e-6 * Double(values.count))
    }

    @Test("torch.Generator(\"cuda\") of seed 0 begins with its published numbers")
    func cuda() {
        let published: [Float] = [
            -0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284,
        ]
        let values = TorchCUDANoise(seed: 0).gaussians(count: 8)
        for (value, golden) in zip(values, published) { #expect(abs(value - golden) < 6e-5) }
    }

    @Test("A small CUDA device gives each thread four numbers a round")
    func cudaGridStride() {
        let device = CUDADevice(multiprocessors: 1, threadsPerMultiprocessor: 256)
        let small = TorchCUDANoise(seed: 3, device: device).gaussians(count: 256)
        let large = TorchCUDANoise(seed: 3, device: device).gaussians(count: 1300)
        #expect(Array(large.prefix(256)) == small)
        #expect(Set(large.map(\.bitPattern)).count > 1290)
        // The sine and the cosine of one pair: r² = −2 ln u is shared.
        let words = Philox4x32.block(counter: SIMD4(0, 0, 5, 0), key: Philox4x32.key(seed: 3))
        let uniform = (Double(words.x) + 0.5) * 0x1p-32
        let radius = Double(large[5] * large[5] + large[5 + 256] * large[5 + 256])
        #expect(abs(radius + 2 * log(uniform)) < 1e-4)
    }
}
