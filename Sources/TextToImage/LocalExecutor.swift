package import Denoising

/// Computes in this process, one item after the other. Not a test double: the product's path for
/// `--workers 0`, and the yardstick that every cluster run must equal byte for byte.
package struct LocalExecutor: TaskExecutor {
    private let model: any ComputeModel

    package init(model: any ComputeModel) { self.model = model }

    package func execute(
        _ items: WorkList,
        conditioning: Conditioning,
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        try await model.prepare(conditioning)
        for position in 0..<items.count {
            try Task.checkCancellation()
            let answer = try await model.compute(
                items[position], conditioning: conditioning.fingerprint)
            try await deliver(position, answer)
        }
    }
}
