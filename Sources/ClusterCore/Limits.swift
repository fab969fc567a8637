/// Every bound of the cluster in one place: each wait has a deadline, each queue a bound, each
/// retry a limit, each message a maximum size.
package struct Limits: Hashable, Codable, Sendable {
    /// The values below.
    package static let standard = Limits()
    package init() {}

    /// The standard ones, for the socket of operators: lists are longer than any message of a
    /// worker's, and nobody waits for a client that has gone.
    package static var control: Limits {
        var limits = Limits.standard
        limits.maximumBodyBytes = 1 << 20
        limits.tickInterval = .milliseconds(50)
        limits.linger = .milliseconds(250)
        return limits
    }

    // MARK: Liveness

    /// Workers say that they live this often. Cheap enough for a thousand workers, and three of
    /// them fit into ``suspectAfter``.
    package var heartbeatInterval: Duration = .seconds(1)

    /// Silence after which a worker gets no new tasks and its tasks may be copied: three missed
    /// heartbeats; one or two are a busy network.
    package var suspectAfter: Duration = .seconds(3)

    /// A connection whose handshake takes longer is closed: port scanners.
    package var handshakeLimit: Duration = .seconds(3)

    /// Silence after which a worker's tasks belong to others. Longer than any pause a healthy
    /// machine makes, far shorter than a person's patience.
    package var lostAfter: Duration = .seconds(10)

    /// Timers are looked at this often: fine enough for ``heartbeatInterval``, too rare to cost.
    package var tickInterval: Duration = .milliseconds(250)

    /// A lease is at least this long: a task message that got lost is noticed by then.
    package var minimumLease: Duration = .seconds(5)

    /// A lease lasts this many times the 95th percentile of its kind's compute time. Heartbeats
    /// that name the attempt renew it.
    package var leaseFactor = 4

    /// A progress counter that stands still this long is stuck, however quick its tasks are.
    package var minimumStuck: Duration = .seconds(30)

    /// … or this many times the median compute time of its kind, whichever is longer.
    package var stuckFactor = 10

    /// A worker whose own computation has stood still for this many times the stuck time ends: its
    /// task is elsewhere by then, and only a new process can be of use again.
    package var watchdogFactor = 2

    /// An attempt that heartbeats do not name this long after it was sent is sent again: the
    /// message was lost with a connection. Longer than any round trip worth having.
    package var acknowledgeWithin: Duration = .seconds(2)

    /// An attempt that ends unanswered although it was sent again so often counts against its task.
    package var minimumResends = 2

    /// A job with open tasks and no worker waits this long: time to start machines by hand.
    package var noWorkerTimeout: Duration = .seconds(120)

    /// A worker that hears nothing dials and greets this often.
    package var helloInterval: Duration = .seconds(2)

    /// A worker without a coordinator gives up after this: time to restart a coordinator, not
    /// enough to be forgotten on a rented machine.
    package var orphanTimeout: Duration = .seconds(600)

    /// What a stopping worker may still spend on the task in hand; schedulers that preempt give 30.
    package var drainGrace: Duration = .seconds(25)

    /// What a closing socket may spend on its last messages.
    package var linger: Duration = .seconds(2)

    // MARK: Scheduling

    /// Attempts in a worker's hands per slot: one running, one prefetched to hide the round trip.
    /// More would wait behind a slow worker.
    package var creditsPerSlot = 2

    /// Blamed attempts after which a task fails its job …
    package var maximumAttempts = 4

    /// … when at least this many workers tried: one broken machine must not fail a picture.
    package var minimumFailingWorkers = 2

    /// … and one of them had answered something before; or after so many attempts in any case.
    package var maximumFruitlessAttempts = 8

    /// Answers without finite numbers after which a task is not tried again where it failed: what
    /// is no accident comes out the same the second time.
    package var maximumNotFinite = 2

    /// How long another worker is waited for when a task failed that often on the only one: none,
    /// unless others may come by themselves.
    package var secondOpinionWait: Duration = .zero

    /// Attempts of one task alive at once: the first and one copy.
    package var maximumLiveAttempts = 2

    /// A running attempt is copied to an idle worker after this many medians, in percent.
    package var speculationPercent = 150

    /// Copies made for speed may be this part of a job's tasks, in percent.
    package var maximumExtraWorkPercent = 5

    /// Compute times needed before a median means anything.
    package var minimumSpeedSamples = 4

    /// Malformed messages or unsound answers in a row, other than those that are not finite, after
    /// which a worker is turned away.
    package var maximumStrikes = 3

    /// Failed attempts in a row after which a worker is left alone for a while; others go on.
    package var maximumErrorsInARow = 3

    /// How long a failing worker is left alone the first time; doubled each time after.
    package var quarantine: Duration = .seconds(30)

    /// … up to this: a machine that was mended is found out within minutes.
    package var maximumQuarantine: Duration = .seconds(600)

    /// Accepted answers after which earlier quarantines are forgiven.
    package var answersToRedeem = 10

    /// Sessions without a single accepted answer, within ``rejoinWindow``, after which a worker
    /// that comes again is left alone first. One that comes and goes but computes is welcome.
    package var maximumFruitlessJoins = 10
    package var rejoinWindow: Duration = .seconds(300)

    /// Different answers to one question after which its job fails: nobody can tell who is right.
    package var maximumVotes = 4

    /// A worker's speed is forgotten after this long without an answer of its: a machine that was
    /// busy gets another chance.
    package var speedMemory: Duration = .seconds(30)

    /// Names of workers that are remembered beyond their sessions.
    package var maximumHistories = 1024

    /// Workers at once; each costs a connection and a few records.
    package var maximumWorkers = 256

    /// Slots a worker may claim; more is a mistake or a lie.
    package var maximumSlots = 64

    /// Accepted answers that may wait for the loop to take them; no more tasks go out meanwhile,
    /// so that slow output bounds memory.
    package var maximumUnconsumed = 64

    /// Conditionings a worker keeps: a picture or two, and the next ones.
    package var maximumConditionings = 4

    // MARK: Messages

    /// A header frame's protobuf body: anything longer is no message of ours.
    package var maximumBodyBytes = 64 << 10

    /// One tensor frame. libzmq counts only whole frames as life, so a frame must pass a slow
    /// link well within the socket's own timeout.
    package var maximumFrameBytes = 1 << 20

    /// A picture's request as JSON: the prompt and a few numbers.
    package var maximumOrderBytes = 32 << 10

    /// Jobs or workers in one answer to an operator.
    package var maximumControlEntries = 512

    /// Tensors in one message.
    package var maximumTensors = 64

    /// Tensor frames in one message, and so 64 MiB: the largest decoded tile is 3 MiB.
    package var maximumTensorFrames = 64

    /// Axes of a tensor.
    package var maximumRank = 5

    /// Names and version strings; reasons may be ten times as long.
    package var maximumNameBytes = 200

    /// Messages a transport holds for sending; credits keep it far below.
    package var maximumOutbox = 1024

    /// Messages a transport hands over before it stops reading until some are taken.
    package var maximumInbox = 256

    // MARK: Strangers

    /// Messages that make no sense, in a row, from one connection before it is ended. More than
    /// ``maximumStrikes``: a worker that goes wrong is to be told so before it is cut off.
    package var maximumMalformed = 16

    /// What is refused is told at most this often for each reason.
    package var refusalLogPeriod: Duration = .seconds(10)
}
