internal import ClusterCore
package import TextToImage

/// A job as the disk knows it.
package struct JobRecord: Codable, Equatable, Sendable {
    /// How a job ended.
    package struct Outcome: Codable, Equatable, Sendable {
        package enum Kind: String, Codable, Sendable {
            case done, failed, cancelled
        }

        package let kind: Kind
        package let reason: String
        package let exitCode: Int

        enum CodingKeys: String, CodingKey {
            case kind, reason
            case exitCode = "exit_code"
        }

        package init(_ kind: Kind, reason: String = "", exitCode: Int = 0) {
            self.kind = kind
            self.reason = reason
            self.exitCode = exitCode
        }

        var phase: JobPhase {
            switch kind {
            case .done: .done
            case .failed: .failed
            case .cancelled: .cancelled
            }
        }
    }

    static let currentFormat = 1

    private(set) var format = currentFormat
    package let id: String
    /// Jobs run in this order.
    package var sequence: Int
    /// As it was submitted.
    package let order: JobOrder
    /// As the coordinator's model understands it.
    package let request: GenerationRequest
    /// The coordinator's weights when it was taken in, 16 hexadecimal digits.
    package let weights: String
    /// Nil while it is to be done.
    package var outcome: Outcome?

    package init(
        id: String, sequence: Int, order: JobOrder, request: GenerationRequest, weights: String
    ) {
        self.id = id
        self.sequence = sequence
        self.order = order
        self.request = request
        self.weights = weights
    }
}
