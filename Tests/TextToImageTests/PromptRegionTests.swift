import Denoising
import Foundation
import Tensors
import TestSupport
import Testing
import TextToImage

@Suite("A region of a picture with a text of its own", .watched)
struct PromptRegionTests {
    private func request(_ regions: [String]) throws -> GenerationRequest {
        var request = GenerationRequest(
            prompt: "hills", width: 256, height: 128, steps: 3, guidanceScale: 3, seed: 5,
            method: "multidiffusion")
        request.regions = try regions.map { try PromptRegion($0) }
        return request
    }

    @Test("is written as its corner, its size and its text, in which anything may stand")
    func parsing() throws {
        let region = try PromptRegion("8,0,120,64:a moon: \"full\", 1,2")
        #expect(region.rectangle == Rectangle(x: 8, y: 0, width: 120, height: 64))
        #expect(region.text == "a moon: \"full\", 1,2")
        #expect(region.description == "8,0,120,64:a moon: \"full\", 1,2")
        for wrong in [
            "", "moon", "0,0,8:moon", "0,0,8,8,8:moon", "0,0,8,8", "0,0,8,8:", "0,0,8,8: ",
            "0,0,8,x:moon", "0,,8,8:moon", "0,0,50%,8:moon", "0,0,8,99999999999999999999:moon",
        ] {
            #expect(throws: RequestError.region(wrong)) { try PromptRegion(wrong) }
        }
        #expect(RequestError.region("x").description.contains("got \"x\""))
    }

    @Test("stands in a request's record where the prompt does, and is read back")
    func record() throws {
        let request = try request(["0,0,128,128:a sunset", "64,0,192,128:a moon"])
        let data = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(GenerationRequest.self, from: data) == request)
        let fields = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(
            fields["prompt"] as? [String]
                == ["hills", "0,0,128,128:a sunset", "64,0,192,128:a moon"])
        for wrong in ["[]", "[\"hills\", \"moon\"]", "[1]", "{}"] {
            var text = String(
                decoding: try JSONEncoder().encode(try self.request([])), as: UTF8.self)
            text = text.replacingOccurrences(of: "\"hills\"", with: wrong)
            #expect(throws: DecodingError.self) {
                try JSONDecoder().decode(GenerationRequest.self, from: Data(text.utf8))
            }
        }
    }

    @Test("changes nothing of a record without one, and keeps an older program from reading it")
    func earlierRecords() throws {
        /// As programs read a request that knew no regions.
        struct Earlier: Decodable { let prompt: String }
        let plain = try JSONEncoder().encode(try request([]))
        #expect(try JSONDecoder().decode(Earlier.self, from: plain).prompt == "hills")
        let regional = try JSONEncoder().encode(try request(["0,0,8,8:a moon"]))
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(Earlier.self, from: regional)
        }
    }

    @Test("is another picture to a state folder, which says in what")
    func otherPicture() async throws {
        let studio = try ToyStudio()
        func generator(_ regions: [String]) throws -> ImageGenerator {
            try studio.generator(of: PicturePlan(request: request(regions), model: studio.model))
        }
        let state = studio.path("state")
        let stopping = ToyExecutor(onAnswer: { item in
            if case .denoise(let task) = item, task.step == 1 { throw CancellationError() }
        })
        let regions = ["0,0,128,128:a sunset"]
        let first = try await studio.run(
            try generator(regions), to: studio.path("a.png"), state: state, with: stopping)
        #expect(first.failure is CancellationError)
        await #expect {
            _ = try await studio.run(
                try generator(["0,0,128,128:a moon"]), to: studio.path("a.png"), state: state,
                resume: true)
        } throws: { error in
            "\(error)".contains("request: prompt") && "\(error)".contains("a sunset")
        }
        let going = ToyExecutor()
        let second = try await studio.run(
            try generator(regions), to: studio.path("a.png"), state: state, resume: true,
            with: going)
        #expect(second.failure == nil)
        #expect(going.steps == [1, 2])
        #expect(Set(going.denoised.map(\.conditioning)) == [0, 1])
    }

    @Test("says so when nothing is left to the picture's own text")
    func covered() throws {
        let studio = try ToyStudio()
        func notes(_ regions: [String]) throws -> [String] {
            try PicturePlan(request: request(regions), model: studio.model).ignoredPrompt
        }
        #expect(try notes(["0,0,128,128:a sunset", "100,0,156,128:a moon"]).count == 1)
        #expect(try notes(["0,0,128,128:a sunset"]).isEmpty)
        #expect(try notes([]).isEmpty)
    }

    @Test("has workers tried with its text before they answer questions of it")
    func trialQuestions() throws {
        let studio = try ToyStudio()
        let picture = try PicturePlan(
            request: request(["0,0,128,128:a sunset", "64,0,192,128:a moon"]), model: studio.model)
        #expect(picture.trialQuestions(seed: 1).map(\.conditioning) == [0, 1, 2, 0])
        let plain = try PicturePlan(request: request([]), model: studio.model)
        #expect(plain.trialQuestions(seed: 1).map(\.conditioning) == [0, 0])
    }
}
