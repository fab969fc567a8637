import Denoising
import Foundation
import Tensors
import Testing
import TextToImage

@Suite("The folder a killed run goes on from")
final class CheckpointFolderTests {
    private let path = NSTemporaryDirectory() + "tessera-state-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func job(seed: UInt64 = 1) -> Provenance {
        let request = GenerationRequest(
            prompt: "hills", width: 64, height: 64, steps: 4, guidanceScale: 3, seed: seed,
            method: "direct")
        return Provenance(
            request: request, plan: Fingerprint(value: 1), weights: Fingerprint(value: 2),
            computeClass: "cpu/scalar/Generic")
    }

    private func state(step: Int) -> DenoisingState {
        let values = (0..<16).map { Float($0 * step) / 7 }
        return DenoisingState(
            canvas: Latent(channels: 1, height: 4, width: 4, values: values), nextStep: step)
    }

    /// Saves steps as one process, then lets the folder go, as a killed process does.
    private func run(saving steps: ClosedRange<Int>) throws {
        let folder = try CheckpointFolder(path: path, job: job(), resume: false)
        #expect(try folder.latest() == nil)
        for step in steps { try folder.save(state(step: step)) }
    }

    private var stateFiles: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: path)
                .filter { $0.hasPrefix("step-") }.sorted()
        }
    }

    @Test("the last step comes back, bit for bit, and two generations are kept")
    func lastStep() throws {
        try run(saving: 1...3)
        #expect(try stateFiles.count == 2)
        let folder = try CheckpointFolder(path: path, job: job(), resume: true)
        #expect(try folder.latest() == state(step: 3))
    }

    @Test("a damaged last step falls back to the one before", arguments: [true, false])
    func damaged(truncated: Bool) throws {
        try run(saving: 1...3)
        let newest = path + "/" + (try #require(try stateFiles.last))
        var bytes = try Data(contentsOf: URL(fileURLWithPath: newest))
        if truncated {
            bytes.removeLast(5)
        } else {
            bytes[bytes.count - 2] ^= 0x10
        }
        try bytes.write(to: URL(fileURLWithPath: newest))
        let folder = try CheckpointFolder(path: path, job: job(), resume: true)
        #expect(try folder.latest() == state(step: 2))
    }

    @Test("a begun run needs --resume, another picture another folder")
    func refusals() throws {
        try run(saving: 1...1)
        #expect(throws: CheckpointError.started(path: path)) {
            try CheckpointFolder(path: self.path, job: self.job(), resume: false)
        }
        #expect(throws: CheckpointError.otherPicture(path: path, held: "hills")) {
            try CheckpointFolder(path: self.path, job: self.job(seed: 2), resume: true)
        }
    }

    @Test("two processes cannot hold one folder")
    func locked() throws {
        let first = try CheckpointFolder(path: path, job: job(), resume: false)
        #expect(throws: CheckpointError.locked(path: path)) {
            try CheckpointFolder(path: self.path, job: self.job(), resume: false)
        }
        withExtendedLifetime(first) {}
    }

    @Test("a finished run leaves no state behind")
    func finished() throws {
        let folder = try CheckpointFolder(path: path, job: job(), resume: false)
        try folder.save(state(step: 1))
        folder.finish()
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["lock"])
    }

    @Test("a place that cannot hold a folder is one sentence")
    func unusable() {
        let failure = #expect(throws: CheckpointError.self) {
            try CheckpointFolder(path: "/dev/null/state", job: self.job(), resume: false)
        }
        #expect(failure?.description.contains("/dev/null/state") == true)
    }
}
