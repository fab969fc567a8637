/// Why a scheduler could not be made from what was asked for and what the model's files say.
package enum SamplingError: Error, Equatable, CustomStringConvertible {
    /// `--scheduler` named something that is not registered.
    case unknownScheduler(String, known: [String])
    /// The model's own scheduler class has no counterpart here, or it names none; `known` fit it.
    case unsupportedClass(String?, known: [String])
    /// The model was trained on another noise schedule than any sampler here walks down; names the
    /// class and what gives it away.
    case otherSchedule(String)
    /// The model was distilled to the few steps of this class, which has no counterpart here.
    case distilledFor(String)
    /// A field of scheduler_config.json asks for something that is not implemented.
    case unsupportedField(String, value: String, advice: String)
    /// A field of scheduler_config.json is outside its range.
    case invalidField(String, value: String, expected: String)
    /// The step count is below 1 or beyond the training schedule.
    case invalidStepCount(Int, limit: Int)
    /// Spacing and offset together leave the training schedule.
    case timestepOutOfRange(Int, trainTimesteps: Int)

    package var description: String {
        switch self {
        case .unknownScheduler(let name, let known):
            "there is no scheduler \"\(name)\"; choose one of: \(known.joined(separator: ", "))"
        case .unsupportedClass(let name, let known):
            (name.map { "the model's own scheduler, \($0), is not supported; choose another" }
                ?? "scheduler_config.json names no _class_name; choose a scheduler")
                + " with --scheduler: \(known.joined(separator: ", "))"
        case .otherSchedule(let what):
            "the model's own scheduler is \(what), which is not known to be on DDPM's noise "
                + "schedule; the samplers here all are, and would draw noise with it"
        case .distilledFor(let name):
            "the model is distilled to a few steps of \(name), which is not supported; none of "
                + "the schedulers here draws with it"
        case .unsupportedField(let field, let value, let advice):
            "scheduler_config.json: \(field) = \(value) is not supported; \(advice)"
        case .invalidField(let field, let value, let expected):
            "scheduler_config.json: \(field) should be \(expected), found \(value)"
        case .invalidStepCount(let count, let limit):
            "the number of steps should lie between 1 and \(limit), got \(count)"
        case .timestepOutOfRange(let timestep, let trainTimesteps):
            "this number of steps needs timestep \(timestep), but the model was trained on "
                + "0 ..< \(trainTimesteps); use fewer steps or another timestep_spacing"
        }
    }
}
