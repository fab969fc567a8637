"""Golden values of the samplers and of PyTorch's initial noise, written to goldens.json beside this file.

    pip install torch==2.15.0 diffusers==0.42.1 && python make_goldens.py

Schedulers are built by from_config from the raw contents of a scheduler_config.json, as a pipeline does.
A trajectory feeds the scheduler a stand-in for a network, pattern * (step + 1) / steps + input / 4, in float32.
"""
import json
import pathlib

import diffusers
import numpy as np
import torch

LATENT = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
SDXL = dict(LATENT, _class_name="EulerDiscreteScheduler", prediction_type="epsilon", timestep_spacing="leading", steps_offset=1,
            interpolation_type="linear", use_karras_sigmas=False, set_alpha_to_one=False, skip_prk_steps=True, trained_betas=None, sample_max_value=1.0)
DEFAULT = dict(LATENT, _class_name="DDIMScheduler", prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1,
               set_alpha_to_one=True, rescale_betas_zero_snr=True)
SD15 = dict(LATENT, _class_name="PNDMScheduler", set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None)

CASES = [  # configuration, class made from it, step counts
    (SDXL, "EulerDiscreteScheduler", [1, 10, 20, 25, 30, 50]),
    (DEFAULT, "DDIMScheduler", [1, 10, 20, 25, 30, 50]),
    (DEFAULT, "EulerDiscreteScheduler", [8, 20]),
    (SDXL, "DDIMScheduler", [8, 20]),
    (SD15, "EulerDiscreteScheduler", [7]),
    (SD15, "DDIMScheduler", [7, 30]),
    (dict(SDXL, timestep_spacing="trailing", prediction_type="v_prediction"), "EulerDiscreteScheduler", [6]),
    (dict(SDXL, timestep_spacing="linspace", prediction_type="sample"), "EulerDiscreteScheduler", [1, 6]),
    (dict(SDXL, interpolation_type="log_linear", timestep_spacing="linspace"), "EulerDiscreteScheduler", [6]),
    (dict(SDXL, final_sigmas_type="sigma_min", beta_schedule="linear", beta_start=0.0001, beta_end=0.02), "EulerDiscreteScheduler", [6]),
    (dict(SDXL, beta_schedule="squaredcos_cap_v2"), "EulerDiscreteScheduler", [6]),
    (dict(DEFAULT, timestep_spacing="leading", rescale_betas_zero_snr=True, prediction_type="sample"), "DDIMScheduler", [6]),
    (dict(DEFAULT, timestep_spacing="linspace", set_alpha_to_one=False, rescale_betas_zero_snr=False), "DDIMScheduler", [7]),
]
TABLES = [dict(beta_schedule=s, beta_start=a, beta_end=b, rescale_betas_zero_snr=z)
          for s, a, b in (("scaled_linear", 0.00085, 0.012), ("linear", 0.0001, 0.02), ("squaredcos_cap_v2", 0.0001, 0.02)) for z in (False, True)]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pattern(n):
    return torch.tensor([((7 * i) % 11 - 5) / 8 for i in range(n)], dtype=torch.float32)


def trajectory(scheduler):
    steps, p = len(scheduler.timesteps), pattern(12)
    x = torch.tensor([((5 * i) % 13 - 6) / 4 for i in range(12)], dtype=torch.float32) * scheduler.init_noise_sigma
    states = []
    for i, t in enumerate(scheduler.timesteps):
        out = p * torch.tensor((i + 1) / steps, dtype=torch.float32) + scheduler.scale_model_input(x, t) / 4
        x = scheduler.step(out, t, x).prev_sample
        states.append(x.tolist())
    return [states[0], states[len(states) // 2], states[-1]]


def schedules():
    for config, name, counts in CASES:
        for steps in counts:
            scheduler = getattr(diffusers, name).from_config(dict(config))
            scheduler.set_timesteps(steps)
            entry = dict(configuration=config, class_name=name, steps=steps, timesteps=scheduler.timesteps.tolist(),
                         initial_sigma=float(scheduler.init_noise_sigma))
            if name == "EulerDiscreteScheduler":
                entry["sigmas"] = scheduler.sigmas.tolist()
            yield dict(entry, states=trajectory(scheduler))


def spacings():
    """CRC-32C over the timesteps of 1...300 steps as int32; trailing cut to the count asked for"""
    for spacing in ("leading", "linspace", "trailing"):
        scheduler = diffusers.DDIMScheduler.from_config(dict(DEFAULT, timestep_spacing=spacing))
        values = []
        for steps in range(1, 301):
            scheduler.set_timesteps(steps)
            values += scheduler.timesteps.tolist()[:steps]
        yield dict(spacing=spacing, crc=crc32c(np.array(values, "<i4").tobytes()))


def tables():
    for fields in TABLES:
        scheduler = diffusers.DDIMScheduler(clip_sample=False, **fields)
        alphas = scheduler.alphas_cumprod.numpy()
        yield dict(configuration=fields, crc=crc32c(alphas.astype("<f4").tobytes()), picks={str(i): float(alphas[i]) for i in (0, 249, 500, 998, 999)})


def noise():
    for shape in ((1, 4, 16, 16), (1, 4, 64, 64), (1, 4, 13, 17), (1, 1, 3, 5), (1, 1, 4, 4), (1, 1, 1, 17)):
        for seed in (0, 42, 2**40 + 7):
            x = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)).flatten()
            yield dict(shape=shape, seed=seed, first=x[:8].tolist(), last=x[-20:].tolist(), sum=float(x.double().sum()))


if __name__ == "__main__":
    goldens = dict(torch=torch.__version__, diffusers=diffusers.__version__, schedules=list(schedules()), spacings=list(spacings()),
                   tables=list(tables()), noise=list(noise()))
    text = json.dumps(goldens, separators=(",", ":")).replace('{"configuration"', '\n{"configuration"').replace('{"shape"', '\n{"shape"')
    pathlib.Path(__file__).with_name("goldens.json").write_text(text + "\n")
