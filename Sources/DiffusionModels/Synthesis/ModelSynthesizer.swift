package import ComputeBackends
internal import DurableFiles
internal import Foundation
internal import Tensors

/// Writes a model folder with seeded random weights: every file that diffusers and this program
/// read, and nothing learned. For tests, benchmarks and trying a cluster without a download.
package struct ModelSynthesizer: Sendable {
    /// The same seed gives the same bytes on every machine.
    package let seed: UInt64
    private let blueprint: ModelBlueprint
    private let components: [ModelBlueprint.Component]

    /// Prepares; nothing is written before ``write(to:progress:)``. Without an `elementType` the
    /// weights have the preset's own.
    package init(preset: ModelPreset, seed: UInt64 = 0, elementType: FloatType? = nil) {
        var blueprint = preset.blueprint
        blueprint.elementType = elementType ?? blueprint.elementType
        do throws(WeightsError) {
            try self.init(blueprint: blueprint, seed: seed)
        } catch {
            preconditionFailure("the catalogue of presets is wrong: \(error)")
        }
    }

    /// Prepares a model of the shape that the configuration files in `folder` describe: those of
    /// a diffusers pipeline, with or without its weights. The scheduler's file is taken over
    /// whatever its class. A tokenizer is copied where `vocab.json` and `merges.txt` are there,
    /// and made up otherwise.
    ///
    /// Throws ``WeightsError``: a file is missing or damaged, or says something this program
    /// cannot do. Nothing is written before ``write(to:progress:)``.
    package init(
        like folder: String,
        seed: UInt64 = 0,
        elementType: FloatType = .float16
    ) throws(WeightsError) {
        try self.init(
            blueprint: ModelBlueprint(
                like: Self.withoutTrailingSlash(folder), elementType: elementType),
            seed: seed)
    }

    private init(blueprint: ModelBlueprint, seed: UInt64) throws(WeightsError) {
        self.blueprint = blueprint
        self.seed = seed
        components = try blueprint.components()
    }

    /// Size of all weights together, in bytes.
    package var byteCount: Int {
        let elements = components.flatMap(\.parameters).map(\.shape.count).reduce(0, +)
        return elements * blueprint.elementType.byteCount
    }

    /// Room on the disk that is enough for the folder, in bytes.
    private var roomNeeded: Int {
        let entry = 256  // of a tensor in a weight file's header, generously
        let tokenizers = blueprint.tokenizers.flatMap(\.files).map(\.bytes.count).reduce(0, +)
        let headers = components.map(\.parameters.count).reduce(0, +) * entry
        return byteCount + headers + tokenizers + 1 << 20
    }

    /// Parameters of the UNet.
    package var unetParameterCount: Int {
        components[0].parameters.map(\.shape.count).reduce(0, +)
    }

    /// Writes the folder; it appears complete or not at all, with the mode and owner of an empty one
    /// that was there, and where a symbolic link leads. Memory use does not depend on the
    /// model's size. `progress` is told the share of the bytes written, 0...1.
    ///
    /// Throws ``WeightsError/unwritable(path:reason:)``: something is there already, the disk is
    /// too full (checked before writing), or the system refuses.
    package func write(
        to path: String,
        progress: (Double) -> Void = { _ in }
    ) throws(WeightsError) {
        let target: String
        do { target = try followingLinks(Self.withoutTrailingSlash(path)) } catch {
            throw WeightsError(error)
        }
        try Self.checkVacant(target)
        let parent = (target as NSString).deletingLastPathComponent
        try Self.checkSpace(
            at: Self.nearestExisting(parent), needed: roomNeeded, for: target)
        try makeFolder(parent.isEmpty ? "." : parent)
        let (folder, name) = folderAndName(of: target)
        let partial = folder + "/" + AtomicFile.temporaryName(for: name)
        do throws(WeightsError) {
            try makeFolder(partial)
            try writeConfigurations(in: partial)
            try writeWeights(in: partial, progress: progress)
            Self.adoptAccess(of: target, by: partial)
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

    private func writeConfigurations(in folder: String) throws(WeightsError) {
        func write(_ object: JSONObject, _ name: String) throws(WeightsError) {
            try put(Array(JSONValue.object(object).indentedText.utf8), at: "\(folder)/\(name)")
        }
        try write(blueprint.index, "model_index.json")
        try makeFolder("\(folder)/scheduler")
        try write(blueprint.scheduler, "scheduler/scheduler_config.json")
        for component in components {
            try makeFolder("\(folder)/\(component.folder)")
            try write(component.configuration, "\(component.folder)/config.json")
        }
        for (tokenizer, suffix) in zip(
            blueprint.tokenizers, blueprint.family.textEncoderSuffixes)
        {
            try makeFolder("\(folder)/tokenizer\(suffix)")
            for file in tokenizer.files {
                try put(file.bytes, at: "\(folder)/tokenizer\(suffix)/\(file.name)")
            }
        }
    }

    private func put(_ bytes: [UInt8], at path: String) throws(WeightsError) {
        do { try AtomicFile.write(bytes, to: path) } catch { throw WeightsError(error) }
    }

    private func writeWeights(
        in folder: String,
        progress: (Double) -> Void
    ) throws(WeightsError) {
        let type = blueprint.elementType
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
        guard !isMountPoint(path) else {
            throw .unwritable(
                path: path, reason: "something is mounted there; name a folder inside of it")
        }
    }

    /// What the owner of an empty folder has set, the one that replaces it has too.
    private static func adoptAccess(of folder: String, by other: String) {
        var status = stat()
        guard unsafe stat(folder, &status) == 0 else { return }
        _ = unsafe chown(other, status.st_uid, status.st_gid)
        _ = unsafe chmod(other, status.st_mode & 0o7777)
    }

    /// The folder itself, or the nearest one above it that is there already.
    private static func nearestExisting(_ folder: String) -> String {
        var folder = folder
        while !folder.isEmpty, folder != "/", !fileExists(folder) {
            folder = (folder as NSString).deletingLastPathComponent
        }
        return folder.isEmpty ? "." : folder
    }

    /// Throws unless the disk that holds `folder` has `needed` bytes left for `path`.
    static func checkSpace(
        at folder: String, needed: Int, for path: String
    ) throws(WeightsError) {
        var status = statvfs()
        guard unsafe statvfs(folder, &status) == 0 else {
            throw .unwritable(path: path, reason: systemReason())
        }
        // Some network file systems claim more than a number holds.
        let (product, overflows) = UInt64(status.f_bavail)
            .multipliedReportingOverflow(by: UInt64(status.f_frsize))
        let available = overflows ? UInt64.max : product
        guard available >= UInt64(needed) else {
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
