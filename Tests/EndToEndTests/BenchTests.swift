import Foundation
import Subprocess
import SystemPackage
import TestSupport
import Testing

private func object(_ text: String) throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
    return try #require(value as? [String: Any])
}

extension [String: Any] {
    fileprivate func number(_ key: String) throws -> Double {
        try #require(self[key] as? Double, "no number called \(key) in \(self.keys.sorted())")
    }

    fileprivate func objects(_ key: String) throws -> [[String: Any]] {
        try #require(self[key] as? [[String: Any]])
    }
}

/// Element type and shape of every tensor of a safetensors file whose length is what they say.
private func tensors(of path: String) throws -> [String: [Int]] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = try #require(
        try JSONSerialization.jsonObject(with: data[8..<(8 + length)]) as? [String: [String: Any]])
    header["__metadata__"] = nil
    var shapes: [String: [Int]] = [:]
    for (name, entry) in header {
        #expect(entry["dtype"] as? String == "F32")
        shapes[name] = try #require(entry["shape"] as? [Int])
    }
    let elements = shapes.values.reduce(0) { $0 + $1.reduce(1, *) }
    #expect(data.count == 8 + length + 4 * elements)
    return shapes
}

@Suite("bench, as scripts and people use it", .watched, .timeLimit(.minutes(10)))
struct BenchTests {
    private func report(_ arguments: [String]) async throws -> [String: Any] {
        let outcome = try await CommandLineTool.run(["bench"] + arguments + ["--json"])
        try #require(outcome.status == 0, "\(outcome)")
        return try object(outcome.output)
    }

    @Test("the report has the machine, the times, the arithmetic and the memory")
    func unetReport() async throws {
        let report = try await report([
            "unet", "--batch", "2", "--latent-size", "16x8", "--runs", "3", "--threads", "1",
        ])
        #expect(report["benchmark"] as? String == "unet")
        #expect(report["version"] as? String != nil)
        #expect(report["batch"] as? Int == 2 && report["threads"] as? Int == 1)
        #expect(
            report["latent"] as? [String: Int] == ["channels": 4, "height": 8, "width": 16])
        #expect((report["model"] as? [String: Any])?["path"] is String)

        let machine = try #require(report["machine"] as? [String: Any])
        for fact in [
            "processor", "system", "instruction_set", "blas_core", "blas", "compute_class",
        ] {
            #expect((machine[fact] as? String)?.isEmpty == false, "\(fact)")
        }
        #expect(try machine.number("memory_bytes") > 1e8 && machine.number("processors") >= 1)

        let seconds = try #require(report["seconds"] as? [Double])
        let median = try report.number("median_seconds")
        let least = try report.number("min_seconds")
        #expect(seconds.count == 3 && seconds.sorted()[1] == median && seconds.min() == least)
        #expect(try report.number("max_seconds") == seconds.max() && least > 0)
        let first = try report.number("first_forward_seconds")
        #expect(try first >= report.number("load_seconds") && report.number("texts_seconds") > 0)

        let (gflop, gflops) = (try report.number("gflop"), try report.number("gflops"))
        #expect(gflop > 0.1 && abs(gflops * median / gflop - 1) < 1e-6)
        let ceiling = try #require(report["ceiling"] as? [String: Any])
        let share = try report.number("ceiling_share")
        #expect(try abs(share * ceiling.number("gflops") / gflops - 1) < 1e-6)
        #expect((ceiling["product"] as? String)?.contains("2048") == true)
        #expect(try report.number("peak_memory_bytes") > 1e7)
        #expect(report["allocations_per_forward"] is NSNull)
        #expect(report["weights_prepared"] as? Bool == true)
        #expect(report["layers"] == nil)
    }

    @Test(
        "the layers' shares add up to one and their arithmetic to the whole",
        arguments: [["unet", "--latent-size", "8x8"], ["vae", "--latent-size", "4x4"], ["text"]]
    )
    func perLayer(arguments: [String]) async throws {
        let report = try await report(arguments + ["--per-layer", "--runs", "1"])
        let layers = try report.objects("layers")
        #expect(layers.count > 20)
        #expect(layers.map { $0["index"] as? Int } == Array(0..<layers.count))
        var (shares, gflop) = (0.0, 0.0)
        for layer in layers {
            shares += try layer.number("share")
            gflop += try layer.number("gflop")
            #expect(layer["kind"] is String && layer["shape"] is String)
            let multiplies = ["linear", "convolution"].contains(layer["kind"] as? String)
            #expect((layer["name"] as? String)?.isEmpty == !multiplies, "\(layer)")
            #expect(try layer.number("seconds") > 0 && layer.number("gflops") >= 0)
        }
        #expect(abs(shares - 1) < 1e-9)
        #expect(try abs(gflop / report.number("gflop") - 1) < 1e-9)
    }

    @Test("a coordinator's decisions are timed by batch and by answer")
    func dispatch() async throws {
        let report = try await report([
            "dispatch", "--workers", "3", "--tasks", "20", "--batches", "2",
        ])
        let batch = try #require(report["batch"] as? [String: Any])
        let answer = try #require(report["answer"] as? [String: Any])
        #expect((batch["seconds"] as? [Double])?.count == 2)
        #expect((answer["seconds"] as? [Double])?.count ?? 0 >= 40)
        #expect(report["workers"] as? Int == 3 && report["processor"] is String)
    }

    @Test("what a picture takes beside its networks is measured without computing one")
    func memory() async throws {
        let report = try await report(["memory", "--size", "8x", "--steps", "5"])
        let latent = try report.number("latent_bytes")
        #expect(latent == 4 * 4 * 128 * 128)
        #expect(try report.number("views") > 100 && report.number("tiles") == 121)
        let taken = try report.number("peak_bytes") - report.number("bytes_before")
        #expect(taken > latent && taken < 4 * latent + 300e6, "\(taken)")
    }

    @Test("paced, it runs once for every line, says so at once, and reports at the end")
    func paced() async throws {
        let result = try await Subprocess.run(
            .path(FilePath(CommandLineTool.executable)),
            arguments: ["bench", "vae", "--latent-size", "4x4", "--paced"],
            input: .inputWriter, output: .sequence, error: .discarded
        ) { execution in
            var lines: [String] = []
            // Each answer is awaited before the next line is written.
            for try await line in execution.standardOutput.strings() {
                lines.append(line)
                if lines.count <= 2 {
                    _ = try await execution.standardInputWriter.write(Array("go\n".utf8))
                } else if lines.count == 3 {
                    try await execution.standardInputWriter.finish()
                }
            }
            return lines
        }
        #expect(result.terminationStatus == .exited(0))
        let objects = try result.closureResult.map(object)
        try #require(objects.count == 4, "\(objects)")
        #expect(objects[0]["event"] as? String == "ready")
        #expect(try objects[0].number("load_seconds") > 0)
        let seconds = try objects[1...2].map { run in
            #expect(run["event"] as? String == "run")
            return try run.number("seconds")
        }
        #expect(objects[3]["seconds"] as? [Double] == seconds)
        #expect(objects[3]["benchmark"] as? String == "vae")
    }

    @Test("paced without a line is a mistake that is explained")
    func pacedWithoutLines() async throws {
        let outcome = try await CommandLineTool.run(["bench", "text", "--paced"])
        #expect(outcome.status == 64 && outcome.errors.contains("line"), "\(outcome)")
    }

    @Test("--save writes what the network was given and what it answered")
    func save() async throws {
        let folder = try TemporaryFolder()
        _ = try await report([
            "unet", "--batch", "3", "--latent-size", "16x8", "--runs", "1", "--save",
            folder.file("unet.safetensors"),
        ])
        #expect(
            try tensors(of: folder.file("unet.safetensors")) == [
                "sample": [3, 4, 8, 16], "timestep": [1], "hidden_states": [3, 77, 160],
                "pooled": [3, 96], "time_ids": [3, 6], "output": [3, 4, 8, 16],
            ])
        _ = try await report([
            "vae", "--latent-size", "6x4", "--runs", "1", "--save",
            folder.file("vae.safetensors"),
        ])
        #expect(
            try tensors(of: folder.file("vae.safetensors")) == [
                "latent": [1, 4, 4, 6], "output": [1, 3, 32, 48],
            ])
        let text = try await report(["text", "--runs", "1", "--save", folder.file("text")])
        #expect(text["batch"] as? Int == 1)
        #expect(
            try tensors(of: folder.file("text")) == [
                "tokens": [1, 77], "tokens_2": [1, 77], "output": [1, 77, 160],
                "pooled": [1, 96],
            ])
    }

    @Test("a model without pooled text is measured and saved without it")
    func withoutPooledText() async throws {
        let folder = try TemporaryFolder()
        let model = folder.file("model")
        let made = try await CommandLineTool.run(["synthesize", "tiny-sd15", "--output", model])
        try #require(made.status == 0, "\(made)")
        let path = folder.file("unet.safetensors")
        _ = try await report(["unet", "--model", model, "--runs", "1", "--save", path])
        #expect(
            try tensors(of: path).keys.sorted() == [
                "hidden_states", "output", "sample", "time_ids", "timestep",
            ])
        // This one encodes the empty negative prompt as well.
        let text = try await report(["text", "--model", model, "--runs", "1", "--save", path])
        #expect(text["batch"] as? Int == 2)
        #expect(try tensors(of: path).keys.sorted() == ["output", "tokens"])
    }

    @Test("the same input and threads give the same answer, whatever the number of threads")
    func sameAnswer() async throws {
        let folder = try TemporaryFolder()
        for threads in ["1", "2", "3"] {
            _ = try await report([
                "unet", "--latent-size", "8x8", "--runs", "1", "--threads", threads, "--save",
                folder.file(threads),
            ])
        }
        for threads in ["2", "3"] {
            #expect(
                FileManager.default.contentsEqual(
                    atPath: folder.file("1"), andPath: folder.file(threads)))
        }
    }

    /// A C compiler of this machine; Swift's own if that is on the path.
    private static let compiler: String? = {
        let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
        return ["clang", "cc"].lazy.flatMap { name in folders.map { "\($0)/\(name)" } }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    @Test(
        "a forward in the steady state asks for no memory, by a library that counts",
        .enabled(if: compiler != nil, "needs a C compiler"),
        arguments: [["unet", "--batch", "2", "--latent-size", "8x8"], ["vae"]]
    )
    func allocations(arguments: [String]) async throws {
        let folder = try TemporaryFolder()
        let library = folder.file("count_allocations.so")
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let built = try await Subprocess.run(
            .path(FilePath(try #require(Self.compiler))),
            arguments: [
                "-O2", "-shared", "-fPIC", "-Werror", "-Wall", "-o", library,
                root.appendingPathComponent("Benchmarks/count_allocations.c").path,
            ], output: .discarded, error: .string(limit: 10_000))
        try #require(built.terminationStatus == .exited(0), "\(built.standardError)")
        let outcome = try await CommandLineTool.run(
            ["bench"] + arguments + ["--runs", "2", "--json"],
            environment: ["LD_PRELOAD": library])
        try #require(outcome.status == 0, "\(outcome)")
        let report = try object(outcome.output)
        #expect(report["allocations_per_forward"] as? Int == 0, "\(outcome)")
        #expect(try report.number("arena_bytes") > 1000)
    }

    @Test("kernels are measured by name")
    func kernels() async throws {
        let report = try await report(["kernels", "--only", "mini", "--runs", "2"])
        let kernels = try report.objects("kernels")
        #expect(
            Set(kernels.compactMap { $0["kind"] as? String })
                == ["linear", "convolution", "attention", "group-norm"])
        for kernel in kernels {
            #expect((kernel["name"] as? String)?.contains("mini") == true)
            #expect(try kernel.number("median_seconds") >= kernel.number("min_seconds"))
            #expect(try kernel.number("gigabytes_per_second") > 0)
            let multiplies = kernel["kind"] as? String != "group-norm"
            #expect(try (kernel.number("gflops") > 0) == multiplies)
        }
    }

    @Test("whole pictures are measured by every method that is asked for")
    func endToEnd() async throws {
        let report = try await report([
            "end-to-end", "--size", "2x", "--steps", "2", "--method", "direct", "--method",
            "multidiffusion",
        ])
        let methods = try report.objects("methods")
        #expect(methods.map { $0["method"] as? String } == ["direct", "multidiffusion"])
        // Two steps, with and without prompt: one view, and nine that overlap by half.
        #expect(methods.map { $0["forwards"] as? Int } == [4, 36])
        #expect(methods.map { $0["view_width"] as? Int } == [32, 16])
        for method in methods {
            let parts =
                try method.number("denoise_seconds") + method.number("decode_seconds")
            #expect(try abs(parts / method.number("median_seconds") - 1) < 1e-6)
        }
        #expect(report["width"] as? Int == 256 && report["steps"] as? Int == 2)
    }

    @Test(
        "people get text",
        arguments: [
            (
                ["unet", "--latent-size", "8x8", "--per-layer"],
                ["GFLOP/s", "convolution", "share"]
            ),
            (["kernels", "--only", "mini-linear"], ["mini-linear", "ceiling"]),
            (["end-to-end", "--size", "1x", "--steps", "1", "--method", "direct"], ["forwards"]),
        ]
    )
    func text(arguments: [String], mentions: [String]) async throws {
        let runs = arguments[0] == "end-to-end" ? [] : ["--runs", "1"]
        let outcome = try await CommandLineTool.run(["bench"] + arguments + runs)
        #expect(outcome.status == 0, "\(outcome)")
        for mention in mentions + ["machine", "threads"] {
            #expect(outcome.output.contains(mention), "\(outcome)")
        }
    }

    @Test(
        "mistakes end in one sentence and the right exit code",
        arguments: [
            (["unet", "--batch", "0"], 64, "--batch"),
            (["unet", "--latent-size", "0x4"], 64, "0x4"),
            (["unet", "--latent-size", "16"], 64, "--latent-size"),
            (["unet", "--batch", "1024", "--latent-size", "8192x8192"], 64, "memory"),
            (["vae", "--latent-size", "8192x8192"], 64, "memory"),
            (["unet", "--runs", "0"], 64, "--runs"),
            (["vae", "--paced", "--runs", "3"], 64, "--runs"),
            (["unet", "--model", "/no/such/model"], 65, "/no/such/model"),
            (["unet", "--save", "/no/such/folder/a"], 64, "/no/such/folder"),
            (["text", "--threads", "0"], 64, "--threads"),
            (["kernels", "--only", "magic"], 64, "magic"),
            (["end-to-end", "--method", "magic"], 64, "magic"),
            (["end-to-end", "--size", "1x1"], 64, "1"),
            (["memory", "--method", "magic"], 64, "magic"),
            (["magic"], 64, "magic"),
        ] as [([String], Int32, String)]
    )
    func mistakes(arguments: [String], status: Int32, mention: String) async throws {
        let outcome = try await CommandLineTool.run(["bench"] + arguments)
        #expect(outcome.status == status, "\(outcome)")
        #expect(outcome.errors.contains(mention), "\(outcome)")
        #expect(outcome.output.isEmpty)
    }

    @Test(
        "every benchmark has help that teaches",
        arguments: [[], ["kernels"], ["unet"], ["vae"], ["text"], ["end-to-end"], ["memory"]]
    )
    func help(arguments: [String]) async throws {
        let outcome = try await CommandLineTool.run(["bench"] + arguments + ["--help"])
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("OVERVIEW") && outcome.output.contains("USAGE"))
    }
}
