import Foundation
import Sampling
import TestSupport
import Testing

@Suite("Scheduler configurations", .watched)
struct SchedulerConfigurationTests {
    @Test(
        "A setting that is not supported is refused by its name",
        arguments: [
            ("euler", #"{"use_karras_sigmas": true}"#, "use_karras_sigmas"),
            ("euler", #"{"use_exponential_sigmas": true}"#, "use_exponential_sigmas"),
            ("euler", #"{"use_beta_sigmas": true}"#, "use_beta_sigmas"),
            ("euler", #"{"timestep_type": "continuous"}"#, "timestep_type"),
            ("euler", #"{"trained_betas": [0.1, 0.2]}"#, "trained_betas"),
            ("euler", #"{"beta_schedule": "sigmoid"}"#, "beta_schedule"),
            ("euler", #"{"prediction_type": "flow"}"#, "prediction_type"),
            ("euler", #"{"timestep_spacing": "random"}"#, "timestep_spacing"),
            ("euler", #"{"final_sigmas_type": "one"}"#, "final_sigmas_type"),
            ("euler", #"{"interpolation_type": "cubic"}"#, "interpolation_type"),
            ("euler", #"{"num_train_timesteps": 0}"#, "num_train_timesteps"),
            ("euler", #"{"beta_start": -1}"#, "beta_start"),
            ("ddim", #"{}"#, "clip_sample"),
            ("ddim", #"{"clip_sample": true}"#, "clip_sample"),
            ("ddim", #"{"clip_sample": false, "thresholding": true}"#, "thresholding"),
        ])
    func refusals(name: String, json: String, field: String) throws {
        let configuration = try configuration(json)
        let entry = try Schedulers.entry(named: name, configuration: configuration)
        let error = #expect(throws: SamplingError.self) {
            try entry.makeScheduler(configuration: configuration, steps: 4)
        }
        #expect(error?.description.contains(field) == true, "\(error?.description ?? "none")")
    }

    @Test("Fields of other classes change nothing", arguments: Schedulers.all.map(\.name))
    func foreignFields(name: String) throws {
        let json =
            name == "euler"
            ? #"{"clip_sample": true, "thresholding": true, "skip_prk_steps": true}"#
            : #"{"clip_sample": false, "use_karras_sigmas": true, "algorithm_type": "x"}"#
        let entry = try Schedulers.entry(named: name, configuration: SchedulerConfiguration())
        _ = try entry.makeScheduler(configuration: try configuration(json), steps: 4)
    }

    @Test("Without a name the model's own class decides, and an unknown one is named")
    func ownClass() throws {
        let euler = try configuration(#"{"_class_name": "EulerDiscreteScheduler"}"#)
        #expect(try Schedulers.entry(named: nil, configuration: euler).name == "euler")
        let pndm = try configuration(#"{"_class_name": "PNDMScheduler"}"#)
        #expect(
            throws: SamplingError.unsupportedClass("PNDMScheduler", known: ["euler", "ddim"])
        ) { try Schedulers.entry(named: nil, configuration: pndm) }
        #expect(throws: SamplingError.unknownScheduler("heun", known: ["euler", "ddim"])) {
            try Schedulers.entry(named: "heun", configuration: pndm)
        }
    }

    @Test("Noise prediction at zero terminal SNR is refused where it divides by zero")
    func epsilonAtZeroSignal() throws {
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.rescaleBetasZeroSNR = true
        configuration.timestepSpacing = "trailing"
        #expect(throws: SamplingError.self) {
            try DDIMScheduler(configuration: configuration, steps: 4)
        }
        configuration.timestepSpacing = "leading"
        _ = try DDIMScheduler(configuration: configuration, steps: 4)
    }

    @Test("An offset that leaves the training schedule is refused")
    func offset() throws {
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.stepsOffset = 1
        #expect(throws: SamplingError.timestepOutOfRange(1000, trainTimesteps: 1000)) {
            try DDIMScheduler(configuration: configuration, steps: 1000)
        }
    }

    @Test("Encoding and decoding give the same configuration")
    func roundTrip() throws {
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.predictionType = "v_prediction"
        configuration.setAlphaToOne = true
        let data = try JSONEncoder().encode(configuration)
        #expect(
            try JSONDecoder().decode(SchedulerConfiguration.self, from: data) == configuration)
    }
}
