internal import ComputeBackends
package import Denoising
package import Tensors

/// A model on a thread of its own, answering one item at a time.
package actor ModelHost: ComputeModel {
    private let model: LoadedModel
    private nonisolated let thread = ComputeThread()
    /// By the conditioning's fingerprint; a worker serves few jobs at a time.
    private var texts = RecentlyUsed<Fingerprint, UNet.Texts>(limit: 4)

    /// Starts the thread.
    package init(model: LoadedModel) { self.model = model }

    /// The model's own thread.
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe thread.asUnownedSerialExecutor()
    }

    /// Operations finished so far, of whatever items; readable while one is computed.
    package nonisolated var operationCount: UInt64 { model.backend.progress.count }

    /// Throws ``ComputeError/unsuitable(_:)`` when the conditioning is of another model.
    package func prepare(_ conditioning: Conditioning) async throws {
        guard texts.find(conditioning.fingerprint) == nil else { return }
        texts.insert(try model.texts(conditioning), for: conditioning.fingerprint)
    }

    /// Throws ``ComputeError`` when the item does not fit or its conditioning is not there.
    package func compute(
        _ item: WorkItem,
        conditioning: Fingerprint
    ) async throws -> WorkAnswer {
        switch item {
        case .denoise(let task):
            guard let texts = texts.find(conditioning) else {
                throw ComputeError.unknownConditioning(conditioning)
            }
            return .denoise(try model.denoise(task, texts: texts))
        case .decode(let task):
            return try model.decode(task)
        case .encode(let task):
            return .encode(try model.encode(task.pixels, index: task.index))
        }
    }
}
