import ComputeBackends
import Tensors

/// A tensor as a file has it.
typealias NamedTensor = (name: String, tensor: Tensor)

/// Something that is computed again and again, the same each time.
protocol Workload {
    /// Computes it once, as pictures are made, and keeps nothing of the answer.
    func run()

    /// Computes it once, as pictures are made, and returns what went in and what came out.
    func runKeeping() throws -> [NamedTensor]

    /// Computes it once, operation by operation, where ``watcher`` sees every one.
    func watchedRun()

    var watcher: ProfilingBackend { get }

    /// The operations of a run and their arithmetic; their times say nothing.
    func operations() -> [OperationRecord]
}

extension Workload {
    func operations() -> [OperationRecord] { watcher.profile(watchedRun).operations }
}

extension CPUBackend {
    /// The operations that `body` does on the second of its arguments. They are recorded by the
    /// first and not computed, which matters where a forward takes a minute.
    func recordedOperations(
        _ body: (PlanRecorder, ProfilingBackend) -> Void
    ) -> [OperationRecord] {
        guard let recorder = recorder() else { preconditionFailure("this backend records") }
        let counter = ProfilingBackend(recorder)
        return counter.profile { body(recorder, counter) }.operations
    }
}

/// What a report says about a workload besides its times.
struct WorkloadFacts {
    struct Latent: Encodable {
        let channels: Int
        let height: Int
        let width: Int
    }

    /// What `bench` calls it.
    let benchmark: String
    let model: BenchModel
    let backend: CPUBackend
    /// Of weights, ahead or every time they are used.
    let preparation: Preparation
    let batch: Int
    /// Nil for workloads without a picture.
    let latent: Latent?
    /// From the opening of the model's folder until its weights are ready.
    let loadSeconds: Double
    /// For preparing texts; nil where there is none or it is what is measured.
    let textsSeconds: Double?
    /// Of activations and scratch, laid out ahead; nil where nothing is.
    let arenaBytes: Int?
}
