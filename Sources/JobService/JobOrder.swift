internal import DurableFiles
internal import Foundation
package import TextToImage

/// What a client asks for: a picture's request and where the picture goes. Travels as JSON.
package struct JobOrder: Codable, Equatable, Sendable {
    /// As a person writes it, such as `4x`: what that means is up to the coordinator's model.
    package var size: String
    /// Its extents are 0: ``size`` decides.
    package var request: GenerationRequest
    /// Absolute path of the PNG.
    package var output: String
    /// Absolute path for the final latents.
    package var saveLatents: String?
    /// Absolute path of the noise to start from.
    package var initialLatents: String?
    /// Absolute path of the picture to start from; the coordinator reads it, when the job is
    /// submitted and again when it begins.
    package var image: String?
    /// The weights that the client means, 16 hexadecimal digits; nil takes the coordinator's.
    package var weights: String?

    enum CodingKeys: String, CodingKey {
        case size, request, output, image, weights
        case saveLatents = "save_latents"
        case initialLatents = "initial_latents"
    }

    package init(
        size: String, request: GenerationRequest, output: String, saveLatents: String? = nil,
        initialLatents: String? = nil, image: String? = nil, weights: String? = nil
    ) {
        self.size = size
        self.request = request
        self.output = output
        self.saveLatents = saveLatents
        self.initialLatents = initialLatents
        self.image = image
        self.weights = weights
    }

    /// Bytes of a path at most: Linux takes four times as many, answers to operators do not.
    package static let maximumPathBytes = 1024

    /// Throws ``JobError`` for what is no order.
    package init(json: [UInt8]) throws(JobError) {
        do { self = try JSONDecoder().decode(JobOrder.self, from: Data(json)) } catch {
            throw .unreadable("\(error)")
        }
        for path in [output, saveLatents, initialLatents, image].compactMap({ $0 }) {
            guard path.utf8.first == UInt8(ascii: "/"), !path.utf8.contains(0),
                SystemPath.bytes(of: path).count <= Self.maximumPathBytes
            else { throw .path(path) }
        }
    }

    package var json: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return Array(try encoder.encode(self))
        }
    }

    /// The files that the job writes.
    var files: [String] { [output] + (saveLatents.map { [$0] } ?? []) }
}

/// Why an order is none, or a job cannot be kept.
package enum JobError: Error, Equatable, CustomStringConvertible {
    case unreadable(String)
    case path(String)
    case invalidID(String)

    package var description: String {
        switch self {
        case .unreadable(let reason): "the request cannot be read: \(reason)"
        case .path(let path):
            "files of a job are named by absolute paths of at most \(JobOrder.maximumPathBytes) "
                + "bytes, got '\(path.prefix(80))'"
        case .invalidID(let id):
            "a job's id has 1 to \(JobName.maximumCount) letters, digits, '-', '_' or '.', and does "
                + "not begin with '.', got '\(id.prefix(80))'"
        }
    }
}

/// A job's name, which is also its folder's.
enum JobName {
    static let maximumCount = 64

    static func check(_ id: String) throws(JobError) {
        let isFine = id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isFine, (1...maximumCount).contains(id.utf8.count), !id.hasPrefix(".") else {
            throw .invalidID(id)
        }
    }
}
