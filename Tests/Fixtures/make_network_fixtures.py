#!/usr/bin/env python3
"""Writes network-odd-sizes.safetensors beside this script, with PyTorch and diffusers.

    python make_network_fixtures.py --tessera PATH/TO/tessera

What the UNets of the synthesized `tiny` and `tiny-sd15` models (seed 0) say about latents whose
sides are no multiples of their downsampling, two items each, and what their autoencoders paint.
Inputs are sines of the element's number (`wave` below), so that only answers are stored:
`tiny.unet.13x11` (2, 4, 13, 11) and so on; `tiny.vae.5x9` (1, 3, 20, 36), every second row and
column of the picture. And what their encoders and the shipped model's say about pictures:
`tiny.encode.40x72` (1, 4, 5, 9), the posterior's mean times the scaling factor.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

SIZES = ((13, 11), (5, 9), (1, 1), (2, 7))
PICTURES = ((40, 72), (8, 8), (24, 136), (128, 128))
TIMESTEP = 617
DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "Sources" / "DefaultModel" / "Model"
TIME_IDS = [[96, 80, 0, 0, 96, 80], [1024, 2048, 640, 72, 1024, 2048]]


def wave(step, amplitude, *shape):
    """amplitude * sin(step * i), i the element's number, computed in double precision."""
    count = torch.Size(shape).numel()
    return (amplitude * torch.sin(step * torch.arange(count, dtype=torch.float64))).float().view(shape)


def answers(name, folder):
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae", dtype=torch.float32).eval()
    config = unet.config
    added = {}
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = dict(added_cond_kwargs=dict(text_embeds=wave(0.9, 1, 2, width), time_ids=torch.tensor(TIME_IDS)))
    text = wave(0.7, 0.8, 2, 77, config.cross_attention_dim)
    for height, width in SIZES:
        sample = wave(1.618, 1.5, 2, 4, height, width)
        output = unet(sample, TIMESTEP, encoder_hidden_states=text, **added).sample
        yield f"{name}.unet.{height}x{width}", output
    yield f"{name}.vae.5x9", vae.decode(wave(1.618, 1.5, 1, 4, 5, 9)).sample[:, :, ::2, ::2]


def encodings(name, folder):
    vae = AutoencoderKL.from_pretrained(folder / "vae", dtype=torch.float32).eval()
    for height, width in PICTURES:
        mean = vae.encode(wave(1.618, 1, 1, 3, height, width)).latent_dist.mean
        yield f"{name}.encode.{height}x{width}", mean * vae.config.scaling_factor


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--tessera", required=True, help="the built program")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    golden = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("tiny", "tiny-sd15"):
            folder = Path(scratch) / name
            command = [options.tessera, "synthesize", name, "--output", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            golden |= answers(name, folder)
            golden |= encodings(name, folder)
    golden |= encodings("default", DEFAULT_MODEL)
    for key, value in golden.items():
        print(f"{key:24} {str(tuple(value.shape)):18} std {value.std():.4f}")
    path = Path(__file__).resolve().parent / "network-odd-sizes.safetensors"
    save_file({key: value.contiguous() for key, value in golden.items()}, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
