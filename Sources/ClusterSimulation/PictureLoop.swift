internal import ClusterCore

/// The user's side of the coordinator: asks step after step, keeps what must outlive a life of
/// the process, and goes on from that in the next life.
struct PictureLoop {
    /// What lies in the state directory.
    private struct Saved {
        var picture = 0
        var step = 0
        var latent = PureModel.start(of: 0)
        /// The tiles decoded so far: they are not decoded again.
        var decoded: [Int: Content] = [:]
    }

    /// One batch of tasks that waits for its answers.
    private struct Batch {
        /// What each task is within its step.
        var units: [TaskID: Int] = [:]
        var questions: [TaskID: Content] = [:]
        var answers: [Int: Content] = [:]
        /// Answers that the loop has taken.
        var taken = 0
    }

    let workload: Workload
    private var saved = Saved()
    private var batch = Batch()
    /// One for each of the picture's texts; none between pictures.
    private(set) var jobs: [JobID] = []
    private var round: UInt32 = 0

    init(workload: Workload) { self.workload = workload }

    var isDone: Bool { saved.picture == workload.pictures.count }
    var picture: Int { saved.picture }
    var step: Int { saved.step }
    private var isDecoding: Bool { saved.step == workload.pictures[saved.picture].steps.count }

    /// Whether all answers of the batch were taken.
    var isBatchComplete: Bool { batch.taken == batch.units.count }

    /// The picture's first job, by which it goes.
    var job: JobID? { jobs.first }

    /// Texts of the picture.
    var texts: Int { workload.pictures[saved.picture].texts }

    /// What the tasks of a text's job need beside their questions.
    func conditioning(of text: Int) -> ContentDigest {
        ContentDigest(100 + UInt64(saved.picture) + 1000 * UInt64(text))
    }

    /// Whether the picture is given up by its user in this step.
    var isToBeCancelled: Bool {
        workload.pictures[saved.picture].cancelledAt == saved.step
    }

    /// The process is gone, with all that was not saved.
    mutating func crash() {
        jobs = []
        batch = Batch()
    }

    mutating func open(_ jobs: [JobID]) {
        self.jobs = jobs
        batch = Batch()
    }

    /// The tasks of the next step: those of a decode phase that are not done yet.
    mutating func nextBatch() -> [TaskID] {
        guard !jobs.isEmpty else { return [] }
        round += 1
        batch = Batch()
        let picture = workload.pictures[saved.picture]
        let count = isDecoding ? picture.decodeTasks : picture.steps[saved.step]
        let units = (0..<count).filter { saved.decoded[$0] == nil }
        return units.enumerated().map { position, unit in
            let task = TaskID(
                job: jobs[isDecoding ? 0 : unit % jobs.count], round: round,
                step: UInt32(saved.step), index: UInt32(position),
                kind: isDecoding ? .decode : .denoise)
            batch.units[task] = unit
            batch.questions[task] = PureModel.question(unit, step: saved.step, of: saved.latent)
            return task
        }
    }

    /// What travels with a task; nil when it is wanted by nobody any more.
    func question(of task: TaskID) -> Content? { batch.questions[task] }

    /// Some task of the batch, for who forges answers.
    var anyTask: TaskID? { batch.units.first { $0.value == 0 }?.key }

    /// Whether the task is the one that kills its workers.
    func isPoison(_ task: TaskID) -> Bool {
        workload.poison == Workload.Poison(picture: saved.picture, step: saved.step)
            && batch.units[task] == 0 && !isDecoding
    }

    /// What an accepted answer is.
    enum Verdict {
        case right, wrong
        /// Its task is not of the batch, or had an answer.
        case misplaced
    }

    /// An accepted answer.
    mutating func deliver(_ answer: Content, of task: TaskID) -> Verdict {
        guard let unit = batch.units[task], let question = batch.questions[task],
            batch.answers.updateValue(answer, forKey: unit) == nil
        else { return .misplaced }
        return answer == PureModel.answer(to: question) ? .right : .wrong
    }

    /// The loop takes one answer; a decoded tile is in the file with that.
    mutating func take(_ task: TaskID) {
        batch.taken += 1
        if isDecoding, let unit = batch.units[task] { saved.decoded[unit] = batch.answers[unit] }
    }

    /// The step is on disk. Returns whether the picture is done with it.
    mutating func saveStep() -> Bool {
        let wasDecoding = isDecoding
        let answers = wasDecoding ? saved.decoded : batch.answers
        saved.latent = PureModel.merge(answers, into: saved.latent)
        saved.step += 1
        batch = Batch()
        return wasDecoding
    }

    /// The finished picture, as one number.
    var result: Content { saved.latent }

    /// What a quiet run makes of the picture.
    var quietResult: Content {
        PureModel.quietResult(of: workload.pictures[saved.picture], number: saved.picture)
    }

    /// On to the next picture, this one being done or given up.
    mutating func leavePicture() {
        saved = Saved(picture: saved.picture + 1)
        saved.latent = PureModel.start(of: saved.picture)
        crash()
    }
}
