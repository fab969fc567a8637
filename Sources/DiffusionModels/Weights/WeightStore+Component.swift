internal import Foundation
internal import Glibc

extension WeightStore {
    /// Opens the weights in a component's folder, as diffusers and transformers name them:
    /// `diffusion_pytorch_model` or `model`, `.safetensors` or shards listed by
    /// `.safetensors.index.json`; full precision is taken before the `fp16` variant.
    ///
    /// Throws ``WeightsError`` when there are none, or they are damaged.
    package convenience init(component folder: String) throws(WeightsError) {
        for stem in ["diffusion_pytorch_model", "model"] {
            for (single, index) in [
                ("\(stem).safetensors", "\(stem).safetensors.index.json"),
                ("\(stem).fp16.safetensors", "\(stem).safetensors.index.fp16.json"),
            ] {
                if fileExists("\(folder)/\(single)") {
                    try self.init(folder: folder, files: ["\(folder)/\(single)"])
                    return
                }
                if fileExists("\(folder)/\(index)") {
                    try self.init(folder: folder, index: "\(folder)/\(index)")
                    return
                }
            }
        }
        throw .missing(
            path: "\(folder)/diffusion_pytorch_model.safetensors (or model.safetensors)",
            advice: "complete the model folder; weights in other formats than safetensors "
                + "are not read")
    }

    /// Opens the shards that an index file lists.
    private convenience init(folder: String, index: String) throws(WeightsError) {
        let bytes = try readFile(index, limit: 1 << 26, adviceWhenMissing: "check the path")
        guard case .object(let document) = try parseJSON(bytes, path: index),
            case .object(let map)? = document["weight_map"], !map.keys.isEmpty
        else {
            throw .malformed(path: index, reason: "expected an object with a weight_map")
        }
        var shards: [String: [String]] = [:]
        for tensor in map.keys {
            guard case .string(let shard)? = map[tensor], isPlainName(shard) else {
                throw .malformedTensor(
                    path: index, tensor: tensor, expected: "the name of a file in this folder",
                    found: map[tensor]?.kind ?? "nothing")
            }
            shards[shard, default: []].append(tensor)
        }
        let names = shards.keys.sorted()
        try self.init(folder: folder, files: names.map { "\(folder)/\($0)" })
        for (number, name) in names.enumerated() {
            for tensor in shards[name, default: []] where file(of: tensor) != number {
                throw .malformedTensor(
                    path: "\(folder)/\(name)", tensor: tensor,
                    expected: "the tensor in this file, as \(index) says",
                    found: file(of: tensor) == nil ? "nothing" : "it is in another shard")
            }
        }
    }
}

/// A name that cannot lead out of its folder.
private func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("/") && !name.contains("\0") && name != "." && name != ".."
}

/// The first link on the way to `path` that points to nothing, and where it points; nil without
/// one.
func danglingLink(on path: String) -> (link: String, target: String)? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    for count in 1...parts.count {
        let part = parts.prefix(count).joined(separator: "/")
        guard fileExists(part), unsafe access(part, F_OK) != 0 else { continue }
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: part)
        return (part, target ?? "something")
    }
    return nil
}

/// Something is at `path`, whatever it is: a link that points to nothing is found, and then said
/// to be one.
func fileExists(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0
}
