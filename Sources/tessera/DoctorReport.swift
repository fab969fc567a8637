import ArgumentParser
import ComputeBackends
import Denoising
import DiffusionModels
import Foundation
import ImageOutput
import Sampling
import Tensors
import TextToImage
import WireCodec
import ZeroMQTransport

/// What the doctor found, as `--json` prints it with keys in snake_case.
struct DoctorReport: Encodable {
    struct Machine: Encodable {
        let processor: String
        let threads: Int
        let memoryBytes: UInt64
        let system: String
    }

    /// A shared library and the version that is loaded.
    struct Library: Encodable {
        let name: String
        let version: String
    }

    struct Compute: Encodable {
        /// Nil when what was asked for is not to be had.
        let instructionSet: String?
        let available: [String]
        let blasCore: String
        /// Backend, instruction set and BLAS core.
        let computeClass: String?
    }

    struct Model: Encodable {
        let path: String
        let family: String?
        let nativeSide: Int?
        let fingerprint: String?
    }

    struct Problem: Encodable {
        let finding: String
        let remedy: String
    }

    let version: String
    let machine: Machine
    let libraries: [Library]
    /// Whether libzmq can encrypt, without which no worker of another machine can join.
    let encryption: Bool
    let compute: Compute
    let model: Model
    /// What has to be mended.
    let problems: [Problem]
    /// What is good to know.
    let warnings: [Problem]

    static func examine(modelFolder: () throws -> String) -> DoctorReport {
        var (problems, warnings): ([Problem], [Problem]) = ([], [])
        let compute = examineCompute(&problems)
        let model = examineModel(modelFolder, &problems, &warnings)
        if !ZeroMQLibrary.hasCurve {
            problems.append(
                Problem(
                    finding: "libzmq was built without CURVE and cannot encrypt",
                    remedy: "install a libzmq with libsodium; Debian's libzmq5 has it"))
        }
        return DoctorReport(
            version: tesseraVersion,
            machine: .present,
            libraries: [
                Library(name: "libzmq", version: ZeroMQLibrary.version),
                Library(name: "libpng", version: PNGStream.libraryVersion),
                Library(name: "openblas", version: BLASLibrary.configuration),
                Library(name: "protobuf-c", version: ProtobufLibrary.version),
            ],
            encryption: ZeroMQLibrary.hasCurve,
            compute: compute,
            model: model,
            problems: problems,
            warnings: warnings
        )
    }

    private static func examineCompute(_ problems: inout [Problem]) -> Compute {
        var chosen: InstructionSet?
        do {
            chosen = try InstructionSet.chosen()
        } catch {
            problems.append(
                Problem(
                    finding: "\(error)",
                    remedy: "unset \(InstructionSet.environmentVariable) or choose one of those"))
        }
        let backend = chosen.flatMap { try? CPUBackend(instructionSet: $0, threads: 1) }
        return Compute(
            instructionSet: chosen?.rawValue,
            available: InstructionSet.available.map(\.rawValue),
            blasCore: BLASLibrary.core,
            computeClass: backend.map { "\($0.computeClass)" }
        )
    }

    private static let otherModel =
        "name a complete model folder with --model, or write one for trying with: "
        + "tessera synthesize tiny --output tiny-model"

    private static func examineModel(
        _ modelFolder: () throws -> String, _ problems: inout [Problem],
        _ warnings: inout [Problem]
    ) -> Model {
        var path = ""
        do {
            path = try modelFolder()
            let folder = try ModelFolder(path: path)
            let fingerprint = try folder.fingerprint()
            problems += damages(of: folder) + examineRequest(for: folder)
            warnings += overflows(of: folder)
            return Model(
                path: path,
                family: folder.family.rawValue,
                nativeSide: folder.nativeSide,
                fingerprint: fingerprint.description
            )
        } catch {
            problems.append(
                Problem(
                    finding: "\(error)",
                    remedy: (error as? WeightsError)?.remedy ?? Self.otherModel))
            return Model(path: path, family: nil, nativeSide: nil, fingerprint: nil)
        }
    }

    /// What generate would say about a request that leaves everything to the model: its scheduler
    /// for instance.
    private static func examineRequest(for folder: ModelFolder) -> [Problem] {
        do {
            let request = try RequestOptions.parse([]).request(
                for: folder, seed: 0, inputs: PictureInputs())
            _ = try PicturePlan(request: request, model: folder)
            return []
        } catch PlanningError.unsampled(let error) {
            return [problem(of: error)]
        } catch {
            return [problem(of: error)]
        }
    }

    private static func problem(of error: any Error) -> Problem {
        switch error {
        case SamplingError.unsupportedClass(let name, let known):
            Problem(
                finding: name.map { "the model's own scheduler, \($0), is not supported" }
                    ?? "scheduler_config.json names no _class_name",
                remedy: "add --scheduler \(known.formatted()) to generate, plan and submit")
        case SamplingError.unsupportedField(let field, let value, let advice):
            Problem(
                finding: "scheduler_config.json: \(field) = \(value) is not supported",
                remedy: advice)
        default: Problem(finding: "\(error)", remedy: "use another model")
        }
    }
}

extension DoctorReport {
    /// For people: one fact a line.
    var text: String {
        var lines: [(String, String)] = [
            ("tessera", version),
            (
                "machine",
                "\(machine.processor), \(machine.threads) "
                    + "thread\(machine.threads == 1 ? "" : "s"), "
                    + "\(machine.memoryBytes >> 20) MiB, \(machine.system)"
            ),
        ]
        lines += libraries.map { ($0.name, $0.version) }
        lines += [
            ("encryption", encryption ? "CURVE" : "none"),
            (
                "instructions",
                "\(compute.instructionSet ?? "none") "
                    + "(this machine can do \(compute.available.formatted()))"
            ),
            ("BLAS core", compute.blasCore),
            ("model", model.path),
        ]
        if let family = model.family, let side = model.nativeSide,
            let fingerprint = model.fingerprint
        {
            lines += [("", "\(family), native \(side) px"), ("fingerprint", fingerprint)]
        }
        for problem in problems {
            lines += [("problem", problem.finding), ("what to do", problem.remedy)]
        }
        for warning in warnings {
            lines += [("warning", warning.finding), ("what to do", warning.remedy)]
        }
        if problems.isEmpty { lines.append(("", "all is well")) }
        return lines.map { name, fact in
            name.padding(toLength: 14, withPad: " ", startingAt: 0) + fact
        }.joined(separator: "\n")
    }
}

extension DoctorReport.Machine {
    /// The machine this runs on.
    static var present: Self {
        let processors = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let name = processors.split(separator: "\n").first { $0.hasPrefix("model name") }
        return Self(
            processor: name?.split(separator: ":").last.map {
                $0.trimmingCharacters(in: .whitespaces)
            } ?? "unknown processor",
            threads: CPUBackend.defaultThreads,
            memoryBytes: ProcessInfo.processInfo.physicalMemory,
            system: ProcessInfo.processInfo.operatingSystemVersionString
        )
    }
}
