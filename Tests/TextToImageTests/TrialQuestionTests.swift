import Denoising
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("What a worker has to answer before it gets any task", .watched)
struct TrialQuestionTests {
    private func questions(_ method: String) throws -> [WorkItem] {
        try ToyStudio().generator(width: 256, height: 256, method: method, guidanceScale: 3)
            .picture.trialQuestions(seed: 1)
    }

    @Test("asks for guidance in two bands where the picture does, and for nothing of it elsewhere")
    func bands() throws {
        for method in DenoisingMethods.all.map(\.name) {
            let asked = try questions(method).compactMap { question -> DenoiseTask? in
                if case .denoise(let task) = question { task } else { nil }
            }
            #expect(asked.count == 1)
            #expect((asked[0].bandSplit != nil) == (method == "frecas"), "\(method)")
            for task in asked {
                guard let bands = task.bandSplit else { continue }
                // Who knows no bands answers something else.
                #expect(bands.highScale != task.guidanceScale)
                let view = task.views[0].sample
                #expect(bands.fits(Extent(height: view.height, width: view.width)))
            }
        }
    }

    @Test("asks for what is encoded where a picture is enlarged on the way")
    func encoding() throws {
        for (method, kinds) in [("cutdiffusion", 2), ("frecas", 3)] {
            #expect(try questions(method).count == kinds)
        }
    }
}
