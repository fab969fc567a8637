import ArgumentParser
import ClusterCore
import Dispatch
import Foundation
import Synchronization
import Tensors
import TextToImage

/// Going on after a kill.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Keep here what a killed run needs to go on: the latents after each step, and in the \
            middle of steps that last (the last two checkpoints), and the tiles that are decoded. \
            The folder is created when it is not there, belongs to one picture at a time, and is \
            emptied when the picture is written. A full or slow disk there does not stop the run. \
            It takes three times the latents, twice that in the middle of steps, and while \
            decoding some five bytes per pixel.
            """,
            valueName: "folder"
        )
    )
    var stateDir: String?

    @Option(
        help: ArgumentHelp(
            """
            In the middle of a step keep what is merged so often, or more rarely on a slow disk; 0 \
            with every task. Of a step that takes an hour no more than that is computed again. \
            60 if left out.
            """,
            valueName: "seconds"
        )
    )
    var checkpointEvery: Double?

    @Flag(
        help: """
            Go on from what --state-dir holds, with the same flags as before; --output, --workers \
            and the like may differ, and so may the model's autoencoder. The picture is the same to the byte. Without anything held \
            the run begins at the first step, so a supervisor can always give it.
            """
    )
    var resume = false

    func validate() throws {
        if resume && stateDir == nil {
            throw ValidationError("--resume needs --state-dir, the folder to go on from")
        }
        guard let checkpointEvery else { return }
        if !(checkpointEvery >= 0 && checkpointEvery <= 1e9) {
            throw ValidationError("--checkpoint-every should be a number of seconds, 0 or more")
        }
        if stateDir == nil {
            throw ValidationError("--checkpoint-every needs --state-dir, the folder to keep it in")
        }
    }

    /// What is asked of the picture whose state the folder holds; nil without any. Throws
    /// ``CheckpointError``.
    var keptRequest: GenerationRequest? {
        get throws(CheckpointError) {
            guard let stateDir else { return nil }
            return try CheckpointFolder.request(keptIn: stateDir)
        }
    }

    /// The folder, held for this process, and the coordinator's life in it: the epoch is raised
    /// before any socket binds. Without `--state-dir` no folder, and the first life of a realm of
    /// its own. `beforeWrite` is ``CheckpointFolder``'s.
    func open(
        for session: PictureSession, reporter: RunReporter, beforeWrite: StateWriteHook? = nil
    ) throws -> (folder: CheckpointFolder?, life: CoordinatorLife) {
        guard let stateDir else {
            return (nil, CoordinatorLife(realm: .random(), epoch: Epoch(1)))
        }
        let place = StatePlace(
            path: stateDir, resumes: resume,
            interval: checkpointEvery.map { .seconds($0) } ?? CheckpointFolder.usualInterval,
            beforeWrite: beforeWrite)
        let (folder, life) = try session.open(place, onEvent: { reporter.state($0) })
        reporter.life(life, in: folder.path)
        return (folder, CoordinatorLife(realm: Realm(life.realm), epoch: Epoch(life.epoch)))
    }

    /// What an interrupted run ends with; `loss` is what became of its state folder.
    func failure(after interruption: Interrupted, _ loss: StateLoss?) -> CommandFailure {
        guard let stateDir else { return CommandFailure(.interrupted, "\(interruption)") }
        if let loss {
            return CommandFailure(
                .interrupted,
                "\(interruption); nothing is kept at \(stateDir) to go on from: \(loss)")
        }
        return CommandFailure(
            .resumable,
            "\(interruption); what is done is kept: to go on, give the same command with "
                + "--state-dir \(stateDir) --resume")
    }
}

/// The state folder that a run has opened, if any, for what is said when the run is interrupted.
final class OpenState: Sendable {
    private struct Content {
        var folder: CheckpointFolder?
        var loss: StateLoss?
    }

    private let content = Mutex(Content())

    func opened(_ folder: CheckpointFolder?) { content.withLock { $0.folder = folder } }

    /// What has become of the folder; nil when nothing has, and when a disk that hangs does not tell
    /// within two seconds: whoever asks is about to end the process.
    var loss: StateLoss? {
        let isSeen = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let loss = self.content.withLock(\.folder)?.loss
            self.content.withLock { $0.loss = loss }
            isSeen.signal()
        }
        _ = isSeen.wait(timeout: .now() + 2)
        return content.withLock(\.loss)
    }
}
