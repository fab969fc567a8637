package import Denoising

/// Computes in this process, one item after the other. A cancelled run leaves at once. Not a test double: the product's path for
/// `--workers 0`, and the yardstick that every cluster run must equal byte for byte.
package struct LocalExecutor: TaskExecutor {
    private let model: any ComputeModel

    package init(model: any ComputeModel) { self.model = model }

    package func execute(
        _ items: WorkList,
        conditionings: [Conditioning],
        deliver: (_ position: Int, _ answer: WorkAnswer) async throws -> Void
    ) async throws {
        for position in 0..<items.count {
            try Task.checkCancellation()
            let item = items[position]
            let conditioning = conditionings[item.conditioning]
            // A model may have dropped one to make room for others; what is there costs nothing.
            try await model.prepare(conditioning)
            let answer = try await abandonable { [model] in
                try await model.compute(item, conditioning: conditioning.fingerprint)
            }
            try await deliver(position, answer)
        }
    }
}

/// What `body` returns or throws. A cancelled task does not wait for it and gets a
/// `CancellationError`: a forward of a large canvas takes minutes and cannot be interrupted. It
/// goes on, and nobody hears of its end.
package func abandonable<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let (results, end) = AsyncThrowingStream<Result, any Error>.makeStream()
    Task {
        do {
            end.yield(try await body())
            end.finish()
        } catch {
            end.finish(throwing: error)
        }
    }
    for try await result in results { return result }
    throw CancellationError()
}
