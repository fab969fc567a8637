/// What a scheduler class of diffusers says about how its models were trained.
enum TrainedSchedule: Equatable {
    /// On the discrete noise schedule of DDPM (Ho et al. 2020, arXiv 2006.11239), which every
    /// sampler here walks down: they may take each other's place.
    case ddpm
    /// On that schedule and then distilled to few steps of this one sampler: another one draws
    /// something else.
    case distilled
    /// On another one: EDM's, flow matching's, or one that is not known here.
    case other

    init(className: String) {
        self =
            if Self.onDDPM.contains(className) {
                .ddpm
            } else if ["LCMScheduler", "TCDScheduler"].contains(className) {
                .distilled
            } else {
                .other
            }
    }

    /// Of diffusers 0.42.1, those made from betas whose models are pictures' latents.
    private static let onDDPM: Set<String> = [
        "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler",
        "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepInverseScheduler",
        "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler",
        "PNDMScheduler", "SASolverScheduler", "UniPCMultistepScheduler",
    ]

    /// Classes that clip the clean sample to ±1 unless their file says otherwise.
    static let clipping: Set<String> = [
        "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler",
        "DDPMScheduler",
    ]
}

extension SchedulerConfiguration {
    /// Throws ``SamplingError`` when the model was not trained for what any sampler here does,
    /// whichever is asked for. A file that names no class is judged by its fields alone.
    func checkTraining() throws(SamplingError) {
        // Of two names that contradict each other either may be the model's.
        for className in [className, indexClassName].compactMap({ $0 }) {
            switch TrainedSchedule(className: className) {
            case .ddpm: break
            case .distilled: throw .distilledFor(className)
            case .other: throw .otherSchedule(className)
            }
        }
        if let field = fieldOfOtherSchedule {
            throw .otherSchedule("\(className ?? "a scheduler") with \(field)")
        }
        if let timestepType, timestepType != "discrete" {
            throw .otherSchedule("\(className ?? "a scheduler") with timestep_type \(timestepType)")
        }
    }

    /// Whether DDIM made from this file clips the clean sample to ±1.
    ///
    /// Where the file does not say, its own class decides: one that never clips has no such field,
    /// and `DDIMScheduler.from_config` of diffusers would then take DDIM's default, which is made
    /// for pixels. Latents reach beyond ±1, so that clipped ones are another picture: here such a
    /// model runs as it was meant to.
    var clipsSample: Bool {
        clipSample ?? className.map(TrainedSchedule.clipping.contains) ?? true
    }
}
