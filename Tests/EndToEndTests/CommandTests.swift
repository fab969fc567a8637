import Foundation
import TestSupport
import Testing

@Suite("plan, doctor and synthesize, as scripts use them", .watched, .timeLimit(.minutes(10)))
struct CommandTests {
    private func object(_ text: String) throws -> [String: Any] {
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        return try #require(value as? [String: Any])
    }

    @Test("plan --format json --expand writes out every view of every step")
    func expandedPlan() async throws {
        let outcome = try await CommandLineTool.run([
            "plan", "--method", "cutdiffusion", "--size", "2x", "--steps", "5",
            "--structure-steps", "2", "--format", "json", "--expand",
        ])
        try #require(outcome.status == 0, "\(outcome)")
        let plan = try object(outcome.output)
        let latent = try #require(plan["latent"] as? [String: Int])
        #expect(latent == ["height": 32, "width": 32, "channels": 4])
        #expect(plan["request"] is [String: Any])
        let phases = try #require(plan["phases"] as? [[String: Any]])
        #expect(phases.count == 1)
        #expect((phases[0]["entry"] as? [Any])?.isEmpty == true)
        let steps = try #require(phases[0]["steps"] as? [[String: Any]])
        #expect(steps.count == 5)
        for (index, step) in steps.enumerated() {
            #expect(step["index"] as? Int == index)
            #expect(step["timestep"] != nil && step["sigma"] != nil)
            #expect(step["guidance_scale"] is Double)
            let views = try #require(step["views"] as? [[String: Any]])
            #expect(views.count == (index < 2 ? 4 : 9))
            for view in views {
                #expect(view["kind"] as? String == (index < 2 ? "lattice" : "window"))
                #expect((view["time_ids"] as? [Int])?.count == 6)
                #expect(view["weight"] is Double && view["task"] is Int)
                let keys =
                    index < 2
                    ? ["row", "column", "stride", "permutation"] : ["y", "x", "height", "width"]
                #expect(keys.allSatisfy { view[$0] != nil })
            }
        }
    }

    @Test("the plan of a request is the same in every process")
    func samePlan() async throws {
        let arguments = [
            "plan", "--size", "300x200", "--seed", "3", "--format", "json", "--expand",
        ]
        let first = try await CommandLineTool.run(arguments)
        let second = try await CommandLineTool.run(arguments)
        #expect(first.status == 0 && first.output == second.output)
    }

    @Test("a plan too large to write out is refused before memory is")
    func hugePlan() async throws {
        let outcome = try await CommandLineTool.run([
            "plan", "--method", "cutdiffusion", "--size", "8000x8000", "--steps", "40",
            "--structure-steps", "40",
            "--interaction", "per-channel", "--format", "json", "--expand",
        ])
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains("--expand"))
    }

    @Test("doctor names libraries, instruction set, BLAS core and the model with its fingerprint")
    func doctor() async throws {
        let outcome = try await CommandLineTool.run(["doctor", "--json"])
        try #require(outcome.status == 0, "\(outcome)")
        let report = try object(outcome.output)
        let model = try #require(report["model"] as? [String: Any])
        #expect((model["path"] as? String)?.isEmpty == false)
        #expect((model["fingerprint"] as? String)?.count == 16)
        let libraries = try #require(report["libraries"] as? [[String: String]])
        #expect(
            Set(libraries.compactMap { $0["name"] })
                == ["libzmq", "libpng", "openblas", "protobuf-c"])
        #expect(libraries.allSatisfy { $0["version"]?.contains(".") == true })
        let compute = try #require(report["compute"] as? [String: Any])
        #expect(compute["instruction_set"] is String && compute["blas_core"] is String)
    }

    @Test("doctor says what to do about a missing model and about an impossible instruction set")
    func doctorProblems() async throws {
        let outcome = try await CommandLineTool.run(
            ["doctor", "--model", "/no/such/model"], environment: ["TESSERA_ISA": "abacus"])
        #expect(outcome.status == 65, "\(outcome)")
        for mention in ["/no/such/model", "--model", "abacus", "TESSERA_ISA"] {
            #expect(outcome.output.contains(mention), "\(outcome)")
        }
    }

    @Test(
        "doctor says of a model's scheduler what generate would say",
        arguments: [
            (#"{"_class_name": "EDMEulerScheduler"}"#, "DDPM's noise schedule", "another model"),
            (#"{"_class_name": "PNDMScheduler"}"#, "PNDMScheduler", "--scheduler euler or ddim"),
        ])
    func doctorOnSchedulers(file: String, finding: String, remedy: String) async throws {
        let folder = try TemporaryFolder()
        let model = folder.file("model")
        let made = try await CommandLineTool.run(["synthesize", "tiny", "--output", model])
        #expect(made.status == 0, "\(made)")
        try Data(file.utf8).write(
            to: URL(fileURLWithPath: "\(model)/scheduler/scheduler_config.json"))
        let report = try await CommandLineTool.run(["doctor", "--model", model])
        #expect(report.status == 65 && report.output.contains(remedy), "\(report)")
        let refusal = try await CommandLineTool.run(["plan", "--model", model])
        #expect(refusal.status == 65, "\(refusal)")
        for text in [report.output, refusal.errors] { #expect(text.contains(finding), "\(text)") }
    }

    @Test("guidance of refining windows, its rescaling and feathers reach the plan, or are refused")
    func weights() async throws {
        let options = ["--refinement-guidance-scale", "5", "--guidance-rescale", "0.5"]
        let plan = try await CommandLineTool.run(
            ["plan", "--size", "2x", "--feather", "gaussian", "--format", "json"] + options)
        let request = try #require(try object(plan.output)["request"] as? [String: Any])
        #expect(request["refinement_guidance_scale"] as? Double == 5)
        #expect(request["guidance_rescale"] as? Double == 0.5)
        #expect(request["feather"] as? String == "gaussian")
        let usual = try await CommandLineTool.run(["plan", "--size", "2x", "--format", "json"])
        let other = try #require(try object(usual.output)["request"] as? [String: Any])
        #expect(other["feather"] as? String == "cosine")
        for (arguments, mention) in [
            (["--method", "direct", "--refinement-guidance-scale", "5"], "refining windows"),
            (["--guidance-rescale", "2"], "between 0 and 1"), (["--feather", "x"], "gaussian"),
        ] {
            let refusal = try await CommandLineTool.run(["plan", "--size", "2x"] + arguments)
            #expect(refusal.status == 64 && refusal.errors.contains(mention), "\(refusal)")
        }
    }

    @Test("plan --estimate says how long the picture takes, in text and in JSON")
    func estimate() async throws {
        let arguments = ["plan", "--size", "2x", "--steps", "2", "--estimate"]
        let text = try await CommandLineTool.run(arguments)
        #expect(text.status == 0 && text.output.contains("in this process: "), "\(text)")
        let json = try await CommandLineTool.run(arguments + ["--format", "json"])
        let plan = try object(json.output)
        let estimate = try #require(plan["estimate"] as? [String: Any])
        #expect(estimate["seconds"] as? Double ?? 0 > 0)
        let parts = try #require(estimate["parts"] as? [[String: Any]])
        let views = parts.filter { ($0["name"] as? String)?.hasPrefix("views") ?? false }
        #expect(
            views.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == plan["view_count"] as? Int)
    }

    @Test("plan says that a negative prompt has no effect, as generate does")
    func ignoredPrompt() async throws {
        let arguments = ["plan", "--size", "1x", "--negative-prompt", "fog", "--guidance-scale"]
        let without = try await CommandLineTool.run(arguments + ["1"])
        #expect(without.status == 0 && without.errors.contains("has no effect"), "\(without)")
        let with = try await CommandLineTool.run(arguments + ["3"])
        #expect(with.status == 0 && with.errors.isEmpty, "\(with)")
    }

    @Test(
        "doctor advises against a scheduler's field what generate advises",
        arguments: ["\"clip_sample\": true", "\"clip_sample\": false, \"thresholding\": true"])
    func schedulerField(fields: String) async throws {
        let folder = try TemporaryFolder()
        let model = folder.file("model")
        let made = try await CommandLineTool.run(["synthesize", "tiny", "--output", model])
        try #require(made.status == 0, "\(made)")
        try Data("{\"_class_name\": \"DDIMScheduler\", \(fields)}".utf8).write(
            to: URL(fileURLWithPath: model + "/scheduler/scheduler_config.json"))
        let advice = "choose --scheduler euler"
        let refusal = try await CommandLineTool.run(["plan", "--model", model])
        #expect(refusal.status != 0 && refusal.errors.contains(advice), "\(refusal)")
        let report = try await CommandLineTool.run(["doctor", "--model", model])
        #expect(report.output.contains(advice), "\(report)")
        #expect(!report.output.contains("another model"), "\(report)")
    }

    @Test("TESSERA_MODEL names the model where no flag does")
    func modelFromTheEnvironment() async throws {
        let outcome = try await CommandLineTool.run(
            ["plan"], environment: ["TESSERA_MODEL": "/no/such/model"])
        #expect(outcome.status == 65 && outcome.errors.contains("/no/such/model"), "\(outcome)")
    }

    @Test("synthesize gives the same model for the same seed and overwrites nothing")
    func synthesize() async throws {
        let folder = try TemporaryFolder()
        var fingerprints: [String] = []
        for name in ["a", "b"] {
            let outcome = try await CommandLineTool.run([
                "synthesize", "tiny", "--output", folder.file(name), "--seed", "4",
            ])
            #expect(outcome.status == 0, "\(outcome)")
            let report = try await CommandLineTool.run([
                "doctor", "--json", "--model", folder.file(name),
            ])
            let model = try #require(try object(report.output)["model"] as? [String: Any])
            fingerprints.append(try #require(model["fingerprint"] as? String))
        }
        #expect(fingerprints[0] == fingerprints[1])
        let again = try await CommandLineTool.run([
            "synthesize", "tiny", "--output", folder.file("a"),
        ])
        #expect(again.status == 65, "\(again)")
        #expect(try folder.contents == ["a", "b"])
    }

    @Test("synthesize --like writes a model of the shape that configuration files say")
    func synthesizeLike() async throws {
        let folder = try TemporaryFolder()
        let shape = folder.file("shape")
        let preset = try await CommandLineTool.run(["synthesize", "tiny", "--output", shape])
        #expect(preset.status == 0, "\(preset)")
        for name in try FileManager.default.subpathsOfDirectory(atPath: shape)
        where name.hasSuffix(".safetensors") {
            try FileManager.default.removeItem(atPath: "\(shape)/\(name)")
        }
        let outcome = try await CommandLineTool.run([
            "synthesize", "--like", shape, "--output", folder.file("model"), "--seed", "4",
            "--element-type", "BF16",
        ])
        #expect(outcome.status == 0, "\(outcome)")
        let report = try await CommandLineTool.run([
            "doctor", "--json", "--model", folder.file("model"),
        ])
        let model = try #require(try object(report.output)["model"] as? [String: Any])
        #expect((model["fingerprint"] as? String)?.count == 16, "\(report)")

        try Data("{\"sample_size\": -1}".utf8).write(
            to: URL(fileURLWithPath: "\(shape)/unet/config.json"))
        let refusal = try await CommandLineTool.run([
            "synthesize", "--like", shape, "--output", folder.file("other"),
        ])
        #expect(refusal.status == 65, "\(refusal)")
        #expect(refusal.errors.contains("\(shape)/unet/config.json: field"), "\(refusal)")
        #expect(try folder.contents == ["model", "shape"])
    }

    @Test(
        "synthesize wants one shape, and teaches when it gets none, two or an unknown one",
        arguments: [
            ([], "--like with a folder"), (["tiny", "--like", "x"], "leave one of them out"),
            (["tinny"], "sdxl"), (["tiny", "--element-type", "F8"], "BF16"),
        ]
    )
    func synthesizeWithoutShape(arguments: [String], mention: String) async throws {
        let folder = try TemporaryFolder()
        let outcome = try await CommandLineTool.run(
            ["synthesize", "--output", folder.file("model")] + arguments)
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.errors.contains(mention), "\(outcome)")
        #expect(try folder.contents == [])
    }

    @Test(
        "every command has help that teaches",
        arguments: ["generate", "plan", "worker", "doctor", "synthesize"]
    )
    func help(command: String) async throws {
        let outcome = try await CommandLineTool.run([command, "--help"])
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("OVERVIEW") && outcome.output.contains("USAGE"))
    }
}
