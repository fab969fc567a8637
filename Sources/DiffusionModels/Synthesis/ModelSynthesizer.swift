internal import Foundation
internal import Tensors

/// Writes a model folder with seeded random weights: every file that diffusers and this program
/// read, and nothing learned. For tests, benchmarks and trying a cluster without a download.
package struct ModelSynthesizer: Sendable {
    /// Which configuration.
    package let preset: ModelPreset
    /// The same seed gives the same bytes on every machine.
    package let seed: UInt64

    private struct Component {
        let folder: String
        let weightsName: String
        let configuration: JSONObject
        let parameters: [ParameterShape]
    }

    /// Prepares; nothing is written before ``write(to:progress:)``.
    package init(preset: ModelPreset, seed: UInt64 = 0) {
        self.preset = preset
        self.seed = seed
    }

    /// Size of all weights together, in bytes.
    package var byteCount: Int {
        let elements = components.flatMap(\.parameters).map(\.shape.count).reduce(0, +)
        return elements * preset.blueprint.elementType.byteCount
    }

    /// Parameters of the UNet.
    package var unetParameterCount: Int {
        components[0].parameters.map(\.shape.count).reduce(0, +)
    }

    /// Writes the folder; it appears complete or not at all. Memory use does not depend on the
    /// model's size. `progress` is told the share of the bytes written, 0...1.
    ///
    /// Throws ``WeightsError/unwritable(path:reason:)``: something is there already, the disk is
    /// too full (checked before writing), or the system refuses.
    package func write(
        to path: String,
        progress: (Double) -> Void = { _ in }
    ) throws(WeightsError) {
        let target = Self.withoutTrailingSlash(path)
        try Self.checkVacant(target)
        let parent = (target as NSString).deletingLastPathComponent
        try makeFolder(parent.isEmpty ? "." : parent)
        try Self.checkSpace(
            at: parent.isEmpty ? "." : parent, needed: byteCount + 8 << 20, for: target)
        let partial = "\(target).\(ProcessInfo.processInfo.processIdentifier).partial"
        do throws(WeightsError) {
            try makeFolder(partial)
            try writeConfigurations(in: partial)
            try writeWeights(in: partial, progress: progress)
            guard unsafe rename(partial, target) == 0 else {
                throw WeightsError.unwritable(path: target, reason: systemReason())
            }
            syncFolder(of: target)
        } catch {
            try? FileManager.default.removeItem(atPath: partial)
            throw error
        }
    }

    // MARK: - Contents

    private var components: [Component] {
        let blueprint = preset.blueprint
        do throws(WeightsError) {
            let unet = try UNetConfiguration(fields: Self.fields("unet", blueprint.unet))
            let vae = try VAEConfiguration(fields: Self.fields("vae", blueprint.vae))
            var components = [
                Component(
                    folder: "unet", weightsName: "diffusion_pytorch_model.safetensors",
                    configuration: blueprint.unet, parameters: unet.parameters),
                Component(
                    folder: "vae", weightsName: "diffusion_pytorch_model.safetensors",
                    configuration: blueprint.vae,
                    parameters: vae.encoderParameters + vae.decoderParameters),
            ]
            for (index, json) in blueprint.textEncoders.enumerated() {
                let folder = "text_encoder" + (index == 0 ? "" : "_\(index + 1)")
                let text = try CLIPTextConfiguration(fields: Self.fields(folder, json))
                components.append(
                    Component(
                        folder: folder, weightsName: "model.safetensors", configuration: json,
                        parameters: text.parameters))
            }
            return components
        } catch {
            preconditionFailure("the catalogue of presets is wrong: \(error)")
        }
    }

    private static func fields(_ name: String, _ object: JSONObject) -> ConfigurationFields {
        ConfigurationFields(path: "\(name)/config.json", object: object)
    }

    private func writeConfigurations(in folder: String) throws(WeightsError) {
        let blueprint = preset.blueprint
        func write(_ object: JSONObject, _ name: String) throws(WeightsError) {
            try AtomicFile.write(
                Array(JSONValue.object(object).indentedText.utf8), to: "\(folder)/\(name)")
        }
        try write(blueprint.index, "model_index.json")
        try makeFolder("\(folder)/scheduler")
        try write(blueprint.scheduler, "scheduler/scheduler_config.json")
        for component in components {
            try makeFolder("\(folder)/\(component.folder)")
            try write(component.configuration, "\(component.folder)/config.json")
        }
        for (index, tokenizer) in blueprint.tokenizers.enumerated() {
            let name = "tokenizer" + (index == 0 ? "" : "_\(index + 1)")
            try makeFolder("\(folder)/\(name)")
            for file in tokenizer.files {
                try AtomicFile.write(Array(file.text.utf8), to: "\(folder)/\(name)/\(file.name)")
            }
        }
    }

    private func writeWeights(
        in folder: String,
        progress: (Double) -> Void
    ) throws(WeightsError) {
        let type = preset.blueprint.elementType
        let total = Double(byteCount)
        var written = 0
        for component in components {
            // Files list their tensors by name, as the libraries that read them do.
            let parameters = component.parameters.sorted { $0.name < $1.name }
            var writer = try SafeTensorsWriter(
                path: "\(folder)/\(component.folder)/\(component.weightsName)",
                tensors: parameters.map { .init(name: $0.name, type: type, shape: $0.shape) })
            let random = SyntheticWeights(seed: seed, component: component.folder)
            for parameter in parameters {
                try random.forEachChunk(of: parameter) { (values) throws(WeightsError) in
                    try writer.append(values)
                    written += values.count * type.byteCount
                    progress(Double(written) / total)
                }
            }
            try writer.finish()
        }
    }

    // MARK: - Place

    private static func withoutTrailingSlash(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// Nothing is at `path`, or an empty folder.
    private static func checkVacant(_ path: String) throws(WeightsError) {
        guard fileExists(path) else { return }
        let contents = try? FileManager.default.contentsOfDirectory(atPath: path)
        guard contents?.isEmpty == true else {
            throw .unwritable(
                path: path, reason: "it is there already and not an empty folder; name another")
        }
    }

    /// Throws unless the disk that holds `folder` has `needed` bytes left for `path`.
    static func checkSpace(
        at folder: String, needed: Int, for path: String
    ) throws(WeightsError) {
        var status = statvfs()
        guard unsafe statvfs(folder, &status) == 0 else {
            throw .unwritable(path: path, reason: systemReason())
        }
        let available = Int(status.f_bavail) * Int(status.f_frsize)
        guard available >= needed else {
            throw .unwritable(
                path: path,
                reason: "it needs \(needed >> 20) MiB and the disk has \(available >> 20) MiB "
                    + "left")
        }
    }
}

/// Makes a folder and those above it; one that is there already is fine.
private func makeFolder(_ path: String) throws(WeightsError) {
    do {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    } catch {
        throw .unwritable(path: path, reason: error.localizedDescription)
    }
}
