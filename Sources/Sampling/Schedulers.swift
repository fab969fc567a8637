/// One registered sampler.
package struct SchedulerEntry: Sendable {
    /// What `--scheduler` says.
    package let name: String
    /// The class that scheduler_config.json says.
    package let className: String
    /// One line for help texts.
    package let summary: String

    private let build:
        @Sendable (SchedulerConfiguration, Int) throws(SamplingError) -> any Scheduler

    init(
        name: String,
        className: String,
        summary: String,
        build:
            @escaping @Sendable (SchedulerConfiguration, Int) throws(SamplingError) -> any Scheduler
    ) {
        self.name = name
        self.className = className
        self.summary = summary
        self.build = build
    }

    /// A scheduler of this class for a model's configuration, whatever class that names.
    /// `steps` is at least 1. Throws ``SamplingError``.
    package func makeScheduler(
        configuration: SchedulerConfiguration, steps: Int
    ) throws(SamplingError) -> any Scheduler {
        try build(configuration, steps)
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
            build: { (configuration, steps) throws(SamplingError) in
                try EulerDiscreteScheduler(configuration: configuration, steps: steps)
            }
        ),
        SchedulerEntry(
            name: "ddim",
            className: "DDIMScheduler",
            summary: "deterministic DDIM",
            build: { (configuration, steps) throws(SamplingError) in
                try DDIMScheduler(configuration: configuration, steps: steps)
            }
        ),
    ]

    /// The entry called `name`, or the model's own class when `name` is nil. Throws
    /// ``SamplingError`` when there is none.
    package static func entry(
        named name: String?, configuration: SchedulerConfiguration
    ) throws(SamplingError) -> SchedulerEntry {
        let known = all.map(\.name)
        if let name {
            guard let entry = all.first(where: { $0.name == name }) else {
                throw .unknownScheduler(name, known: known)
            }
            return entry
        }
        let className = configuration.className ?? "(no _class_name)"
        guard let entry = all.first(where: { $0.className == className }) else {
            throw .unsupportedClass(className, known: known)
        }
        return entry
    }
}
