import ArgumentParser

/// Measures this machine at what pictures are made of.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast this machine computes, and where the time goes.",
        discussion: """
            Inputs are deterministic and made up; what they cost is what pictures cost. Times are \
            wall times. GFLOP count two for every multiplication with its addition, by the direct \
            algorithm whatever was computed instead, and nothing else. The share of the ceiling is \
            against one large matrix product, measured in the same run. On a busy machine trust \
            ratios within one run only.

            EXAMPLES
              tessera bench unet --model sdxl --batch 2 --json
              tessera bench unet --per-layer
              tessera bench vae --model sdxl --latent-size 128x128
              tessera bench kernels --only attention
              tessera bench end-to-end --size 1024x1024
              tessera bench jobs --jobs 100 --workers 2
              tessera bench dispatch --workers 256
              tessera bench memory --size 16384x16384
            """,
        subcommands: [
            BenchKernelsCommand.self, BenchUNetCommand.self, BenchVAECommand.self,
            BenchTextCommand.self, BenchEndToEndCommand.self, BenchJobsCommand.self,
            BenchDispatchCommand.self, BenchMemoryCommand.self,
        ]
    )
}
