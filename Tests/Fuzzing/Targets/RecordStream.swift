/// How one input holds several things: records of a tag byte, a length (u16, little-endian) and
/// so many bytes. A length that reaches past the end takes what is there, so that every input can
/// be read.
enum RecordStream {
    struct Record {
        var tag: UInt8
        var bytes: [UInt8]
    }

    static func read(_ input: some Sequence<UInt8>) -> [Record] {
        var rest = Array(input)[...]
        var records: [Record] = []
        while let tag = rest.popFirst() {
            let low = rest.popFirst() ?? 0
            let high = rest.popFirst() ?? 0
            let bytes = rest.prefix(Int(low) | Int(high) << 8)
            rest = rest.dropFirst(bytes.count)
            records.append(Record(tag: tag, bytes: Array(bytes)))
        }
        return records
    }

    static func write(_ records: [Record]) -> [UInt8] {
        records.flatMap { record -> [UInt8] in
            let count = min(record.bytes.count, 0xFFFF)
            let length = [UInt8(count & 0xFF), UInt8(count >> 8)]
            return [record.tag] + length + record.bytes.prefix(count)
        }
    }

    /// The input with a record repeated, dropped, moved, or given another's tag.
    static func mutated(_ input: [UInt8], using random: inout SplitMix64) -> [UInt8] {
        var records = read(input)
        guard !records.isEmpty else { return input }
        let from = Int.random(in: 0..<records.count, using: &random)
        let to = Int.random(in: 0..<records.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: records.insert(records[from], at: to)
        case 1: if records.count > 1 { records.remove(at: from) }
        case 2: records.swapAt(from, to)
        case 3: records[from].tag = UInt8.random(in: 0...255, using: &random)
        default: records[from].tag = records[to].tag
        }
        return write(records)
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
