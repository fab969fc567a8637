import Denoising
import Foundation
import Tensors
import TestSupport
import Testing

/// What a plan of one group of views per step was when plans could have no others.
struct EarlierPlan: Sendable, CustomTestStringConvertible {
    let method: String
    let height: Int
    let width: Int
    /// Of the plan, of its expanded document, and of what the stand-in for a network draws by it.
    let fingerprint: String
    let document: String
    let picture: String

    var testDescription: String { "\(method), \(width)×\(height)" }

    static let all = [
        EarlierPlan(
            method: "direct", height: 75, width: 130, fingerprint: "8d97be14839560a9",
            document: "f643b920fb591384", picture: "1a0807633ff29be7"),
        EarlierPlan(
            method: "multidiffusion", height: 120, width: 200, fingerprint: "53188c4e4ca38427",
            document: "c69458fe95b54c37", picture: "0037257015ec49c8"),
        EarlierPlan(
            method: "cutdiffusion", height: 104, width: 150, fingerprint: "fe68cc922d3ea17f",
            document: "33d35fb4bd87b605", picture: "008a83f3f7d173ec"),
        EarlierPlan(
            method: "upscale", height: 150, width: 331, fingerprint: "601d3b798581cee4",
            document: "03633807a9cd7540", picture: "ab3176685d15facb"),
    ]
}

@Suite("A plan of one group per step stays what it was", .watched)
struct EarlierPlansTests {
    @Test("by its fingerprint, its document and its picture", arguments: EarlierPlan.all)
    func pinned(earlier: EarlierPlan) async throws {
        let plan = try DenoisingMethods.method(named: earlier.method)
            .plan(for: makeRequest(height: earlier.height, width: earlier.width))
        #expect(plan.fingerprint.description == earlier.fingerprint)

        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var digest = Fingerprinter()
        for byte in try encoder.encode(PlanDocument(plan, expanded: true)) {
            digest.add(byte: byte)
        }
        #expect(digest.fingerprint.description == earlier.document)

        let picture = try await run(
            earlier.method, steps: 6, height: earlier.height, width: earlier.width,
            executor: SimulatedWorkers(predict: entangledPredictor))
        digest = Fingerprinter()
        digest.add(picture.values)
        #expect(digest.fingerprint.description == earlier.picture)
    }
}
