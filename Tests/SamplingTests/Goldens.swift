import Foundation
import Sampling
import Testing

/// What Goldens/make_goldens.py wrote.
struct Goldens: Decodable {
    struct Schedule: Decodable, CustomTestStringConvertible {
        let configuration: SchedulerConfiguration
        let className: String
        let steps: Int
        let timesteps: [Double]
        let initialSigma: Double
        let sigmas: [Double]?
        let states: [[Float]]

        enum CodingKeys: String, CodingKey {
            case configuration, steps, timesteps, sigmas, states
            case className = "class_name"
            case initialSigma = "initial_sigma"
        }

        var testDescription: String {
            "\(className) from \(configuration.className ?? "-"), "
                + "\(configuration.timestepSpacing ?? "-"), "
                + "\(configuration.predictionType ?? "-"), \(steps) steps"
        }
    }
    struct Spacing: Decodable {
        let spacing: TimestepSpacing
        let crc: UInt32
    }
    struct Table: Decodable {
        let configuration: SchedulerConfiguration
        let crc: UInt32
        let picks: [String: Float]
    }
    struct Noise: Decodable, CustomTestStringConvertible {
        let shape: [Int]
        let seed: UInt64
        let first: [Float]
        let last: [Float]
        let sum: Double

        var testDescription: String { "\(shape), seed \(seed)" }
    }
    let schedules: [Schedule]
    let spacings: [Spacing]
    let tables: [Table]
    let noise: [Noise]

    static let all: Goldens = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Goldens/goldens.json")
        do {
            return try JSONDecoder().decode(Goldens.self, from: Data(contentsOf: file))
        } catch {
            fatalError("the golden values cannot be read: \(error)")
        }
    }()
}

/// A configuration out of JSON text.
func configuration(_ json: String) throws -> SchedulerConfiguration {
    try JSONDecoder().decode(SchedulerConfiguration.self, from: Data(json.utf8))
}

/// The largest difference between two lists, relative to the largest golden magnitude.
func relativeDifference(_ values: [Float], _ golden: [Float]) -> Double {
    guard values.count == golden.count else { return .infinity }
    let scale = golden.reduce(1e-30) { max($0, Double(abs($1))) }
    return zip(values, golden).reduce(0) { max($0, abs(Double($1.0) - Double($1.1))) } / scale
}
