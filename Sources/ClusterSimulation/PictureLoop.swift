internal import ClusterCore

/// The user's side of the coordinator: asks step after step, keeps what must outlive a life of
/// the process, and goes on from that in the next life.
struct PictureLoop {
    /// What lies in the state directory.
    private struct Saved {
        var picture = 0
        var step = 0
        /// Whether the step's canvas is made, where it has one of its own.
        var hasEntered = false
        var latent = PureModel.start(of: 0)
        /// The tiles decoded so far: they are not decoded again.
        var decoded: [Int: Content] = [:]
    }

    /// A new canvas that is being made. It dies with the process.
    private struct Entry {
        /// Rows of tiles that are there.
        var rows = 0
        var latent: Content
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
    private var entry: Entry?
    private var batch = Batch()
    /// One for each of the picture's texts; none between pictures.
    private(set) var jobs: [JobID] = []
    private var round: UInt32 = 0

    init(workload: Workload) { self.workload = workload }

    var isDone: Bool { saved.picture == workload.pictures.count }
    var picture: Int { saved.picture }
    var step: Int { saved.step }
    private var planned: Workload.Picture { workload.pictures[saved.picture] }
    private var isDecoding: Bool { saved.step == planned.steps.count }

    /// The rows of tiles that come before the step; none when its canvas is made.
    private var rowsToEnter: [Workload.RowOfTiles] {
        saved.hasEntered ? [] : planned.entries[saved.step, default: []]
    }

    private var isEntering: Bool { !rowsToEnter.isEmpty }

    /// Whether all answers of the batch were taken.
    var isBatchComplete: Bool { batch.taken == batch.units.count }

    /// The picture's first job, by which it goes.
    var job: JobID? { jobs.first }

    /// Texts of the picture.
    var texts: Int { planned.texts }

    /// What the tasks of a text's job need beside their questions.
    func conditioning(of text: Int) -> ContentDigest {
        ContentDigest(100 + UInt64(saved.picture) + 1000 * UInt64(text))
    }

    /// Whether the picture is given up by its user in this step.
    var isToBeCancelled: Bool { planned.cancelledAt == saved.step }

    /// The process is gone, with all that was not saved.
    mutating func crash() {
        jobs = []
        batch = Batch()
        entry = nil
    }

    mutating func open(_ jobs: [JobID]) {
        self.jobs = jobs
        batch = Batch()
    }

    /// The tasks of the next batch: a row of tiles of a new canvas, a step, or the tiles of the
    /// picture that are not decoded yet.
    mutating func nextBatch() -> [TaskID] {
        guard !jobs.isEmpty else { return [] }
        round += 1
        batch = Batch()
        if isEntering {
            let entry = entry ?? Entry(latent: saved.latent)
            self.entry = entry
            let row = rowsToEnter[entry.rows]
            return ask(row.kind, 0..<row.count) {
                PureModel.question($0, ofRow: entry.rows, of: entry.latent)
            }
        }
        let (step, latent) = (saved.step, saved.latent)
        if isDecoding {
            let units = (0..<planned.decodeTasks).filter { saved.decoded[$0] == nil }
            return ask(.decode, units) { PureModel.question($0, step: step, of: latent) }
        }
        return ask(.denoise, 0..<planned.steps[step]) {
            PureModel.question($0, step: step, of: latent)
        }
    }

    /// Tiles go by the picture's first text, the tasks of a step by all texts in turn.
    private mutating func ask(
        _ kind: TaskKind, _ units: some Sequence<Int>, _ question: (_ unit: Int) -> Content
    ) -> [TaskID] {
        units.enumerated().map { position, unit in
            let task = TaskID(
                job: jobs[kind == .denoise ? unit % jobs.count : 0], round: round,
                step: UInt32(saved.step), index: UInt32(position), kind: kind)
            batch.units[task] = unit
            batch.questions[task] = question(unit)
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
            && batch.units[task] == 0 && task.kind == .denoise
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

    /// The loop takes one answer; a tile of the picture is in the file with that.
    mutating func take(_ task: TaskID) {
        batch.taken += 1
        if isDecoding, let unit = batch.units[task] { saved.decoded[unit] = batch.answers[unit] }
    }

    /// All answers of the batch are merged: what a step leaves, or a whole canvas, is on disk with
    /// that. Returns whether the picture is done.
    mutating func endBatch() -> Bool {
        let answers = batch.answers
        batch = Batch()
        if isEntering, var entry {
            entry.latent = PureModel.merge(answers, into: entry.latent)
            entry.rows += 1
            self.entry = entry
            if entry.rows == rowsToEnter.count {
                saved.latent = entry.latent
                saved.hasEntered = true
                self.entry = nil
            }
            return false
        }
        let wasDecoding = isDecoding
        saved.latent = PureModel.merge(wasDecoding ? saved.decoded : answers, into: saved.latent)
        saved.step += 1
        saved.hasEntered = false
        return wasDecoding
    }

    /// The finished picture, as one number.
    var result: Content { saved.latent }

    /// What a quiet run makes of the picture.
    var quietResult: Content {
        PureModel.quietResult(of: planned, number: saved.picture)
    }

    /// On to the next picture, this one being done or given up.
    mutating func leavePicture() {
        saved = Saved(picture: saved.picture + 1)
        saved.latent = PureModel.start(of: saved.picture)
        crash()
    }
}
