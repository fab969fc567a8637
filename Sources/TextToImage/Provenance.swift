internal import Foundation
package import ImageOutput
package import Tensors

/// What a picture says about itself: enough to make it again.
package struct Provenance: Codable, Equatable, Sendable {
    package let version: String
    package let request: GenerationRequest
    /// Fingerprint of the plan, 16 hexadecimal digits.
    package let plan: String
    /// Fingerprint of the model's weights, 16 hexadecimal digits.
    package let weights: String
    /// Backend, instruction set and BLAS core: pictures of one class are equal to the byte.
    package let computeClass: String

    enum CodingKeys: String, CodingKey {
        case version
        case request
        case plan
        case weights
        case computeClass = "compute_class"
    }

    package init(
        request: GenerationRequest, plan: Fingerprint, weights: Fingerprint, computeClass: String
    ) {
        version = tesseraVersion
        self.request = request
        self.plan = plan.description
        self.weights = weights.description
        self.computeClass = computeClass
    }

    /// The keyword of the text chunk that holds this record as JSON.
    package static let keyword = "tessera"

    /// The PNG's text chunks: the prompt and program under the registered keywords (PNG
    /// specification, 11.3.4.2), and the whole record.
    package var texts: [PNGText] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let record = String(decoding: try encoder.encode(self), as: UTF8.self)
            return [
                PNGText(keyword: "Description", text: request.prompt),
                PNGText(keyword: "Software", text: "tessera \(version)"),
                PNGText(keyword: Self.keyword, text: record),
            ]
        }
    }
}
