import ComputeBackends
import DiffusionModels
import Foundation
import Tensors
import TestSupport
import Testing

extension TemporaryFolder {
    /// Writes a file, and the folders above it; returns its path.
    @discardableResult
    func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let url = URL(fileURLWithPath: file(name))
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return url.path
    }

    @discardableResult
    func write(_ text: String, _ name: String) throws -> String {
        try write(Array(text.utf8), name)
    }
}

/// Runs `body`, which must throw a ``WeightsError`` whose sentence holds every one of `parts`.
func expectError(
    _ parts: String...,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("nothing was thrown", sourceLocation: sourceLocation)
    } catch let error as WeightsError {
        for part in parts {
            #expect(
                error.description.contains(part), "\(error)", sourceLocation: sourceLocation)
        }
    } catch {
        Issue.record("\(type(of: error)) was thrown: \(error)", sourceLocation: sourceLocation)
    }
}

/// A file of goldens under Tests/Fixtures; see PROVENANCE.md there.
struct Golden {
    static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").path

    private let store: WeightStore

    init(_ name: String) throws {
        store = try WeightStore(folder: name, files: ["\(Self.folder)/\(name).safetensors"])
    }

    func has(_ name: String) -> Bool { store.contains(name) }

    subscript(name: String) -> Tensor {
        get throws {
            let shape = try #require(store.shape(of: name), "no golden \(name)")
            return try store.tensor(name, shape: shape)
        }
    }

    /// A golden of shape (1, C, h, w).
    func latent(_ name: String) throws -> Latent {
        let tensor = try self[name]
        try #require(tensor.shape.rank == 4 && tensor.shape[0] == 1)
        return Latent(
            channels: tensor.shape[1], height: tensor.shape[2], width: tensor.shape[3],
            values: tensor.elements)
    }
}

/// Largest difference, as a share of the reference's standard deviation.
func deviation(_ found: [Float], from reference: [Float]) -> Double {
    guard found.count == reference.count, !found.isEmpty else { return .infinity }
    let values = reference.map(Double.init)
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
    let differences = zip(found, values).map { abs(Double($0) - $1) }
    guard differences.allSatisfy(\.isFinite) else { return .infinity }
    return (differences.max() ?? 0) / variance.squareRoot()
}

/// The backend of these tests: two threads, on the best instruction set there is.
let testBackend: CPUBackend = {
    do {
        return try CPUBackend(instructionSet: .chosen(), threads: 2)
    } catch {
        fatalError("no backend to test with: \(error)")
    }
}()
