internal import ComputeBackends
package import Tensors

/// What a safetensors header says about one tensor, checked against the file.
package struct TensorEntry: Equatable, Sendable {
    /// The key in the header.
    package let name: String
    /// The format's name of the element type: `F32`, `F16`, `BF16`, `I64`, …
    package let elementType: String
    /// Checked against the length of its bytes.
    package let shape: Shape
    /// Position in the file, in bytes from its start.
    package let byteRange: Range<Int>
}

/// A safetensors file, mapped and with its whole header checked before anything is believed.
///
/// The format (github.com/huggingface/safetensors): 8 bytes header length, little-endian; a JSON
/// object from tensor name to `dtype`, `shape` and `data_offsets`; then the tensors' bytes, row
/// major, little-endian, in the order of their offsets and without a gap.
package struct SafeTensorsFile: Sendable {
    /// Longest header accepted, in bytes; the format's own limit.
    static let maximumHeaderBytes = 100_000_000

    /// Bytes per element, of the types whose length can be checked.
    static let elementBytes: [String: Int] = [
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
        "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
        "U32": 4, "I32": 4, "F32": 4,
        "U64": 8, "I64": 8, "F64": 8, "C64": 8,
    ]

    /// Where it lies.
    package let path: String
    /// Every tensor, in the order of their bytes.
    package let entries: [TensorEntry]
    /// The texts of the header's `__metadata__`.
    package let metadata: [String: String]
    private let file: MappedFile

    /// Maps the file and checks its header; throws ``WeightsError`` naming what is wrong with it.
    package init(
        path: String,
        adviceWhenMissing: String = "check the path"
    ) throws(WeightsError) {
        let file = try MappedFile(path: path, advice: adviceWhenMissing)
        self.path = path
        self.file = file
        let header = try Self.header(of: file)
        let dataStart = 8 + header.count
        let object = try Self.document(header, path: path)
        entries = try Self.entries(object, path: path, data: dataStart..<file.count)
        metadata = Self.metadata(object)
    }

    /// Lends a tensor's bytes.
    func withBytes<Result>(
        of entry: TensorEntry,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        unsafe file.withBytes(in: entry.byteRange, body)
    }

    /// A tensor where it lies in the mapped file; nil for element types that networks do not use.
    func stored(_ entry: TensorEntry) -> StoredTensor? {
        guard let type = FloatType(rawValue: entry.elementType), !entry.byteRange.isEmpty else {
            return nil
        }
        return unsafe StoredTensor(
            shape: entry.shape, type: type, bytes: file.bytes(in: entry.byteRange), owner: file)
    }

    private static func header(of file: MappedFile) throws(WeightsError) -> [UInt8] {
        guard file.count >= 8 else {
            throw .malformed(
                path: file.path,
                reason: "a safetensors file has at least 8 bytes, this one has \(file.count)")
        }
        let length = unsafe file.withBytes(in: 0..<8) { bytes in
            unsafe UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        }
        guard length <= UInt64(maximumHeaderBytes), length <= UInt64(file.count - 8) else {
            throw .malformed(
                path: file.path,
                reason: "its header claims \(length) bytes, the file has \(file.count) "
                    + "and the limit is \(maximumHeaderBytes); truncated, or no safetensors file")
        }
        return unsafe file.withBytes(in: 8..<(8 + Int(length))) { unsafe Array($0) }
    }

    private static func document(
        _ header: [UInt8], path: String
    ) throws(WeightsError) -> JSONObject {
        let document: JSONValue
        do {
            document = try JSONParser.parse(header, maximumDepth: 8)
        } catch {
            throw .malformed(path: path, reason: "its header is no JSON: \(error)")
        }
        guard case .object(let object) = document else {
            throw .malformed(path: path, reason: "its header is no JSON object")
        }
        return object
    }

    private static func metadata(_ header: JSONObject) -> [String: String] {
        guard case .object(let object)? = header["__metadata__"] else { return [:] }
        var texts: [String: String] = [:]
        for key in object.keys {
            if case .string(let text)? = object[key] { texts[key] = text }
        }
        return texts
    }

    private static func entries(
        _ object: JSONObject,
        path: String,
        data: Range<Int>
    ) throws(WeightsError) -> [TensorEntry] {
        var entries: [TensorEntry] = []
        for name in object.keys where name != "__metadata__" {
            guard let description = object[name] else { continue }
            let reader = TensorEntryReader(path: path, tensor: name, data: data)
            entries.append(try reader.entry(description))
        }
        entries.sort {
            ($0.byteRange.lowerBound, $0.byteRange.upperBound)
                < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
        }
        try checkCoverage(entries, path: path, data: data)
        return entries
    }

    /// The tensors must follow each other without gap or overlap and fill the file.
    private static func checkCoverage(
        _ entries: [TensorEntry],
        path: String,
        data: Range<Int>
    ) throws(WeightsError) {
        var end = data.lowerBound
        for entry in entries {
            guard entry.byteRange.lowerBound == end else {
                throw .malformedTensor(
                    path: path, tensor: entry.name,
                    expected: "data from byte \(end - data.lowerBound), after its predecessor",
                    found: "data from byte \(entry.byteRange.lowerBound - data.lowerBound)")
            }
            end = entry.byteRange.upperBound
        }
        guard end == data.upperBound else {
            throw .malformed(
                path: path,
                reason: "\(data.upperBound - end) bytes follow the last tensor")
        }
    }
}

/// Reads and checks one member of a safetensors header.
private struct TensorEntryReader {
    let path: String
    let tensor: String
    let data: Range<Int>

    private func error(expected: String, found: String) -> WeightsError {
        .malformedTensor(path: path, tensor: tensor, expected: expected, found: found)
    }

    func entry(_ description: JSONValue) throws(WeightsError) -> TensorEntry {
        guard case .object(let members) = description else {
            throw error(expected: "an object", found: description.kind)
        }
        guard case .string(let elementType)? = members["dtype"] else {
            throw error(expected: "dtype, a text", found: members["dtype"]?.kind ?? "nothing")
        }
        let extents = try integers("shape", in: members)
        let offsets = try integers("data_offsets", in: members)
        let range = try byteRange(offsets)
        let shape = try checkedShape(extents, elementType: elementType, byteCount: range.count)
        return TensorEntry(name: tensor, elementType: elementType, shape: shape, byteRange: range)
    }

    private func integers(
        _ key: String,
        in members: JSONObject
    ) throws(WeightsError) -> [Int] {
        guard case .array(let values)? = members[key], values.count <= 16 else {
            throw error(
                expected: "\(key), a list of at most 16 whole numbers",
                found: members[key]?.kind ?? "nothing")
        }
        var result: [Int] = []
        for value in values {
            guard case .integer(let number) = value, number >= 0 else {
                throw error(expected: "whole numbers from 0 in \(key)", found: value.kind)
            }
            result.append(number)
        }
        return result
    }

    private func byteRange(_ offsets: [Int]) throws(WeightsError) -> Range<Int> {
        guard offsets.count == 2, offsets[0] <= offsets[1], offsets[1] <= data.count else {
            throw error(
                expected: "data_offsets [begin, end] within the file's \(data.count) data bytes",
                found: "\(offsets)")
        }
        return (data.lowerBound + offsets[0])..<(data.lowerBound + offsets[1])
    }

    private func checkedShape(
        _ extents: [Int],
        elementType: String,
        byteCount: Int
    ) throws(WeightsError) -> Shape {
        var wanted = SafeTensorsFile.elementBytes[elementType] ?? 1
        for extent in extents {
            let (product, overflow) = wanted.multipliedReportingOverflow(by: extent)
            guard !overflow else {
                throw error(expected: "a shape that fits in memory", found: "\(extents)")
            }
            wanted = product
        }
        let shape = Shape(extents)
        // Types unknown here are listed, never used: their length cannot be checked.
        if SafeTensorsFile.elementBytes[elementType] != nil, wanted != byteCount {
            throw error(
                expected: "\(wanted) bytes for shape \(shape) of \(elementType)",
                found: "\(byteCount)")
        }
        return shape
    }
}
