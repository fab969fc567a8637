/// Which timesteps a sampler takes.
package enum SampledTimesteps: Equatable, Sendable {
    /// So many, at least one, as the model's configuration spaces them.
    case spaced(Int)
    /// These of the training schedule, noisiest first, at least one; behind the last no noise is left.
    case listed([Int])
}

/// One registered sampler.
package struct SchedulerEntry: Sendable {
    /// What `--scheduler` says.
    package let name: String
    /// The class that scheduler_config.json says.
    package let className: String
    /// One line for help texts.
    package let summary: String

    private let build:
        @Sendable (SchedulerConfiguration, SampledTimesteps) throws(SamplingError) -> any Scheduler

    init(
        name: String,
        className: String,
        summary: String,
        build:
            @escaping @Sendable (SchedulerConfiguration, SampledTimesteps) throws(SamplingError)
            -> any Scheduler
    ) {
        self.name = name
        self.className = className
        self.summary = summary
        self.build = build
    }

    /// A scheduler of this class for a model's configuration, whatever class that names, as long
    /// as its models are trained for what this one does. `steps` is at least 1. Throws
    /// ``SamplingError``.
    package func makeScheduler(
        configuration: SchedulerConfiguration, steps: Int
    ) throws(SamplingError) -> any Scheduler {
        try makeScheduler(configuration: configuration, timesteps: .spaced(steps))
    }

    /// Likewise, of any timesteps.
    package func makeScheduler(
        configuration: SchedulerConfiguration, timesteps: SampledTimesteps
    ) throws(SamplingError) -> any Scheduler {
        try configuration.checkTraining()
        return try build(configuration, timesteps)
    }
}

/// The samplers this program knows. To add one: write its file, add its line here; the
/// conformance battery in the tests picks it up.
package enum Schedulers {
    /// In the order in which help texts list them.
    package static let all: [SchedulerEntry] = [
        SchedulerEntry(
            name: "euler",
            className: "EulerDiscreteScheduler",
            summary: "Euler's method in noise space, SDXL's own sampler",
            build: { (configuration, timesteps) throws(SamplingError) in
                switch timesteps {
                case .spaced(let steps):
                    try EulerDiscreteScheduler(configuration: configuration, steps: steps)
                case .listed(let times):
                    try EulerDiscreteScheduler(configuration: configuration, timesteps: times)
                }
            }
        ),
        SchedulerEntry(
            name: "ddim",
            className: "DDIMScheduler",
            summary: "deterministic DDIM",
            build: { (configuration, timesteps) throws(SamplingError) in
                switch timesteps {
                case .spaced(let steps):
                    try DDIMScheduler(configuration: configuration, steps: steps)
                case .listed(let times):
                    try DDIMScheduler(configuration: configuration, timesteps: times)
                }
            }
        ),
    ]

    /// The entry called `name`, or the model's own class when `name` is nil. Throws
    /// ``SamplingError`` when there is none, or when none here fits the model.
    package static func entry(
        named name: String?, configuration: SchedulerConfiguration
    ) throws(SamplingError) -> SchedulerEntry {
        if let name {
            guard let entry = all.first(where: { $0.name == name }) else {
                throw .unknownScheduler(name, known: all.map(\.name))
            }
            return entry
        }
        try configuration.checkTraining()
        guard let entry = all.first(where: { $0.className == configuration.className }) else {
            throw .unsupportedClass(configuration.className, known: try fitting(configuration))
        }
        return entry
    }

    /// The names of those that can be made for a model, to be advised. Throws what speaks against
    /// the last of them when none can.
    private static func fitting(
        _ configuration: SchedulerConfiguration
    ) throws(SamplingError) -> [String] {
        var (names, problem): ([String], SamplingError?) = ([], nil)
        for entry in all {
            do throws(SamplingError) {
                _ = try entry.makeScheduler(configuration: configuration, steps: 1)
                names.append(entry.name)
            } catch { problem = error }
        }
        if names.isEmpty, let problem { throw problem }
        return names
    }
}
