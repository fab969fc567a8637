import ArgumentParser
import ClusterCore
import ClusterRuntime
import ComputeBackends
import Denoising
import DiffusionModels
import Foundation
import ImageInput
import ImageOutput
import Sampling
import TextToImage
import ZeroMQTransport

/// The command line: argument parsing and wiring, no logic.
struct Tessera: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tessera",
        abstract: "Ultra-high-resolution pictures from latent diffusion models, on many machines.",
        discussion: """
            Progress goes to standard error, results to standard output. A reader that is gone, \
            stands still or has a full disk stops nothing and changes no exit code. A terminal \
            that is closed (SIGHUP) ends a run as SIGTERM does, unless it was started with nohup.

            EXAMPLES
              tessera generate --prompt "hills at dawn" --workers 2 --output hills.png
              tessera plan --size 4096x4096 --model sdxl
              tessera doctor

            EXIT CODES
              0 done, 64 usage, 65 bad data, 69 no workers or no coordinator, 70 a defect,
              75 interrupted but resumable, 130 interrupted
            """,
        version: tesseraVersion,
        subcommands: [
            GenerateCommand.self, PlanCommand.self, WorkerCommand.self, CoordinatorCommand.self,
            SubmitCommand.self, StatusCommand.self, CancelCommand.self, WorkersCommand.self,
            DrainCommand.self, KeygenCommand.self, TokenCommand.self, DoctorCommand.self,
            CompareCommand.self, DecodeCommand.self, SynthesizeCommand.self, BenchCommand.self,
            SimulateCommand.self, FaultProxyCommand.self,
        ]
    )
}

@main
enum Main {
    static func main() async {
        Signals.prepare()
        let status = await status()
        Signals.end(with: status)
        Output.finish()
        // Not exit(3): an abandoned forward may still compute with what that would tear down.
        _exit(status)
    }

    /// Runs the command; the exit code is its own, whoever listens to what it says.
    private static func status() async -> Int32 {
        do {
            var command = try Tessera.parseAsRoot(try CommandLineArguments.read())
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return EXIT_SUCCESS
        } catch {
            return status(of: error)
        }
    }

    /// Says what went wrong in one sentence, or what the argument parser says, such as help.
    private static func status(of error: any Error) -> Int32 {
        if let status = ExitStatus(of: error) {
            say("tessera: \(error)")
            return status.rawValue
        }
        let text = Tessera.fullMessage(for: error)
        let code = Tessera.exitCode(for: error)
        if !text.isEmpty { code.isSuccess ? printLine(text) : say(text) }
        return code.rawValue
    }

    /// As for any other error, without waiting for what other threads are at.
    static func abandon(with error: any Error) -> Never {
        let status = ExitStatus(of: error) ?? .bug
        say("tessera: \(error)")
        Output.finish()
        _exit(status.rawValue)
    }
}

extension ExitStatus {
    /// The code for an error of one of the layers; nil for what the argument parser says itself.
    init?(of error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure.status
        case PlanningError.brokenPlan: self = .bug
        case PlanningError.unsampled(let error): self.init(of: error)
        case is PlanningError: self = .usage
        case SamplingError.unknownScheduler, SamplingError.invalidStepCount: self = .usage
        case is SamplingError: self = .badData
        case ImageOutputError.notWritable: self = .usage
        case is ImageOutputError: self = .badData
        case RequestError.shape, RequestError.strengthWithoutImage: self = .usage
        case is RequestError, is WeightsError, is CheckpointError, is KeptLatentsError:
            self = .badData
        case is ImageInputError, is PictureFileError: self = .badData
        case BackendError.outOfMemory, is MemoryShortage: self = .badData
        case is BackendError: self = .usage
        case is ComputeError, is DenoisingError: self = .badData
        case DecodingFailure.notFinite: self = .badData
        case is DecodingFailure: self = .bug
        case EventLogError.notWritable: self = .usage
        case is EventLogError: self = .badData
        case let failure as PictureRunFailure where failure.isUnwritable:
            if case .folder = failure.latents { self = .resumable } else { self = .badData }
        case let failure as PictureRunFailure:
            guard let status = ExitStatus(of: failure.cause) else { return nil }
            self = status
        case is Interrupted: self = .interrupted
        case TransportError.invalidEndpoint, TransportError.plaintextRefused: self = .usage
        case TransportError.keyRefused, TransportError.securityMismatch,
            TransportError.handshakeRefused:
            self = .badData
        case KeyFileError.exists, KeyFileError.unwritable: self = .usage
        case is KeyFileError: self = .badData
        case is TransportError, JobFailure.noWorkers, WorkerError.coordinatorSilent:
            self = .unavailable
        case ControlError.silent: self = .unavailable
        case ControlError.unsuitable: self = .usage
        case WorkerError.hung: self = .bug
        case is JobFailure, is WorkerError: self = .badData
        case is CancellationError: self = .interrupted
        case is ExitCode, is ValidationError, is CleanExit: return nil
        default:
            // The argument parser's own errors are of a type it keeps to itself.
            if Tessera.exitCode(for: error) != .failure { return nil }
            self = .bug
        }
    }
}
