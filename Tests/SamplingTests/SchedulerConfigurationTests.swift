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

    @Test(
        "A model of another schedule is refused whatever is asked for, without advice",
        arguments: [
            #"{"_class_name": "EDMDPMSolverMultistepScheduler", "sigma_data": 0.5}"#,
            #"{"_class_name": "EDMEulerScheduler"}"#,
            #"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3}"#,
            #"{"_class_name": "LCMScheduler", "beta_schedule": "scaled_linear"}"#,
            #"{"_class_name": "TCDScheduler", "beta_schedule": "scaled_linear"}"#,
            #"{"_class_name": "TomorrowsScheduler", "beta_schedule": "scaled_linear"}"#,
            #"{"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}"#,
            #"{"_class_name": "EulerDiscreteScheduler", "sigma_min": 0.002, "sigma_max": 700}"#,
            #"{"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true}"#,
            #"{"_class_name": "DDIMScheduler", "clip_sample": false, "sigma_data": 1}"#,
            #"{"shift": 1.5}"#,
        ],
        [nil, "euler", "ddim"])
    func otherSchedules(json: String, name: String?) throws {
        let configuration = try configuration(json)
        let error = #expect(throws: SamplingError.self) {
            try Schedulers.entry(named: name, configuration: configuration)
                .makeScheduler(configuration: configuration, steps: 4)
        }
        let sentence = try #require(error?.description)
        #expect(!sentence.contains("--scheduler"), "\(sentence)")
        if let named = configuration.className { #expect(sentence.contains(named)) }
    }

    @Test(
        "Models on DDPM's schedule run with either scheduler, null fields of others beside it",
        arguments: [
            "PNDMScheduler", "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler",
            "UniPCMultistepScheduler", "DEISMultistepScheduler", "HeunDiscreteScheduler",
        ],
        Schedulers.all)
    func convertible(className: String, entry: SchedulerEntry) throws {
        // No clip_sample: such a class never clips, and its latents are not clipped here either.
        let found = try configuration(
            #"""
            {"_class_name": "\#(className)", "beta_start": 0.00085, "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "sigma_min": null, "sigma_max": null,
            "use_flow_sigmas": false, "flow_shift": 1.0}
            """#)
        let scheduler = try entry.makeScheduler(configuration: found, steps: 4)
        var stated = found
        stated.clipSample = false
        let expected = try entry.makeScheduler(configuration: stated, steps: 4)
        #expect(scheduler.timesteps == expected.timesteps)
        let error = #expect(throws: SamplingError.self) {
            try Schedulers.entry(named: nil, configuration: found)
        }
        #expect(error == .unsupportedClass(className, known: ["euler", "ddim"]))
    }

    @Test("Only schedulers that take the model are advised")
    func advice() throws {
        let karras = try configuration(
            #"{"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true}"#)
        #expect(
            throws: SamplingError.unsupportedClass("DPMSolverMultistepScheduler", known: ["ddim"])
        ) { try Schedulers.entry(named: nil, configuration: karras) }
        let clipping = try configuration(#"{"_class_name": "DDPMScheduler"}"#)
        #expect(throws: SamplingError.unsupportedClass("DDPMScheduler", known: ["euler"])) {
            try Schedulers.entry(named: nil, configuration: clipping)
        }
        let nameless = try configuration(#"{"clip_sample": false}"#)
        let error = #expect(throws: SamplingError.unsupportedClass(nil, known: ["euler", "ddim"])) {
            try Schedulers.entry(named: nil, configuration: nameless)
        }
        #expect(error?.description.contains("names no _class_name") == true)
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
