/// One picture of a comparison: a method, a size, a prompt and a seed.
package struct ComparisonCase: Codable, Hashable, Sendable {
    package let method: String
    /// As `--size` takes it: `4x` or `1024x768`.
    package let size: String
    /// Which of the comparison's prompts, from 0.
    package let promptNumber: Int
    package let prompt: String
    package let seed: UInt64

    package init(method: String, size: String, promptNumber: Int, prompt: String, seed: UInt64) {
        self.method = method
        self.size = size
        self.promptNumber = promptNumber
        self.prompt = prompt
        self.seed = seed
    }

    /// What its files are called: `upscale-4x-p0-s3`.
    package var name: String { "\(method)-\(size)-p\(promptNumber)-s\(seed)" }

    /// All cases in the order in which they are made: seeds change last, so that a comparison that
    /// is ended early has something of everything.
    package static func all(
        methods: [String], sizes: [String], prompts: [String], seeds: ClosedRange<UInt64>
    ) -> [ComparisonCase] {
        seeds.flatMap { seed in
            sizes.flatMap { size in
                prompts.enumerated().flatMap { number, prompt in
                    methods.map { method in
                        ComparisonCase(
                            method: method, size: size, promptNumber: number, prompt: prompt,
                            seed: seed)
                    }
                }
            }
        }
    }
}

/// What came of a case.
package struct ComparisonRecord: Codable, Equatable, Sendable {
    package let `case`: ComparisonCase
    /// The program that made it and what it was told: a record of others is of another picture.
    package let origin: [String]
    /// Nil when there is no picture.
    package let figures: Figures?
    /// Why there is none, in the program's own sentence.
    package let failure: String?

    /// What the run said of itself.
    package struct Figures: Codable, Equatable, Sendable {
        /// Pixels.
        package let width: Int
        package let height: Int
        /// Evaluations of the network, each with and without the prompt where guidance is on.
        package let views: Int
        package let seconds: Double
        /// The most memory of the process that made it.
        package let peakBytes: Int
        /// Fingerprint of the model's weights.
        package let weights: String

        package init(
            width: Int, height: Int, views: Int, seconds: Double, peakBytes: Int, weights: String
        ) {
            self.width = width
            self.height = height
            self.views = views
            self.seconds = seconds
            self.peakBytes = peakBytes
            self.weights = weights
        }
    }

    package init(case: ComparisonCase, origin: [String], figures: Figures) {
        self.case = `case`
        self.origin = origin
        self.figures = figures
        failure = nil
    }

    package init(case: ComparisonCase, origin: [String], failure: String) {
        self.case = `case`
        self.origin = origin
        figures = nil
        self.failure = failure
    }
}
