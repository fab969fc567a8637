import DiffusionModels

/// What the weights themselves tell.
extension DoctorReport {
    /// Components with infinities or NaN among their weights: no picture comes of them.
    static func damages(of folder: ModelFolder) -> [Problem] {
        let stores = [folder.unetWeights, folder.vaeWeights] + folder.textEncoders.map(\.weights)
        return stores.compactMap { store in
            let damages = store.damages
            guard let first = damages.first else { return nil }
            let others = damages.count > 1 ? " and \(damages.count - 1) more tensors" : ""
            return Problem(
                finding: "\(store.folder): the weights \(first.tensor)\(others) hold infinities or "
                    + "NaN (\(first.count) of \(first.of))",
                remedy: "get the file again and compare checksums; weights that were cut to half "
                    + "precision have to be made from a file in float32")
        }
    }

    /// Autoencoders that are known for their overflow in half precision.
    static func overflows(of folder: ModelFolder) -> [Problem] {
        guard folder.vae.overflowsInHalfPrecision, folder.vaeWeights.elementTypes.contains("F16")
        else { return [] }
        return [
            Problem(
                finding: "\(folder.vaeWeights.folder): the autoencoder is stored in half precision "
                    + "and is one that overflows when it computes in it (force_upcast)",
                remedy: "nothing for this program, which computes in float32; where another "
                    + "computes in half precision, take an autoencoder that was mended for it, "
                    + "such as sdxl-vae-fp16-fix")
        ]
    }
}
