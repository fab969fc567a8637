import ComputeBackends
import Foundation
import Synchronization
import Tensors

/// Numbers that look random and are the same everywhere, uniform in [-1, 1).
struct NumberStream {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
    }
}

private struct NumbersKey: Hashable {
    let extents: [Int]
    let seed: Int
    let scale: Float
}

/// Made once: unoptimised loops are slow.
private let knownNumbers = Mutex<[NumbersKey: DeviceTensor]>([:])

/// A tensor of such numbers times `scale`.
func numbers(_ extents: Int..., seed: Int = 1, scale: Float = 1) -> DeviceTensor {
    let key = NumbersKey(extents: extents, seed: seed, scale: scale)
    return knownNumbers.withLock { known in
        if let tensor = known[key] { return tensor }
        var stream = NumberStream(seed + extents.reduce(7) { $0 &* 31 &+ $1 })
        let tensor = DeviceTensor(shape: Shape(extents)) { buffer in
            for index in buffer.indices { buffer[index] = stream.next() * scale }
        }
        known[key] = tensor
        return tensor
    }
}

/// A backend of `threads` threads.
func makeBackend(_ set: InstructionSet, threads: Int = 2) throws -> CPUBackend {
    try CPUBackend(instructionSet: set, threads: threads)
}

/// Largest difference, relative to the larger of 1 and the reference's largest magnitude.
func difference(_ found: DeviceTensor, _ reference: DeviceTensor) -> Float {
    guard found.shape == reference.shape else { return .infinity }
    let (found, reference) = (found.elements, reference.elements)
    let scale = reference.reduce(1) { max($0, abs($1)) }
    var largest: Float = 0
    for (a, b) in zip(found, reference) {
        let distance = abs(a - b)
        guard distance.isFinite else { return .infinity }
        largest = max(largest, distance)
    }
    return largest / scale
}

/// Whether two tensors are the same, bit by bit.
func sameBytes(_ a: DeviceTensor, _ b: DeviceTensor) -> Bool {
    guard a.shape == b.shape else { return false }
    return a.withElements { a in
        b.withElements { b in
            memcmp(a.baseAddress!, b.baseAddress!, a.count * MemoryLayout<Float>.stride) == 0
        }
    }
}
