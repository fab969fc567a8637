"""Freeze the encoder and encode the data set: python encode.py DATA WORK [--from-model FOLDER]

Writes WORK/vae.pt, the autoencoder with each latent channel centred and scaled alike (folded into the 1x1
convolutions at both sides of the latent), and WORK/latents.pt: unit-deviation latents of every picture and of its mirror
image, captions as token numbers, and the place of each crop in its whole picture. With --from-model the autoencoder and the
tokenizer are those of an exported folder, as they are.
"""
import argparse
import os

import numpy as np
import torch
import torch.distributed as dist

import dataset
import networks
import parallel
from sample import read_json, read_safetensors
from tokenizer import Tokenizer
from training import save, to_tensor

BATCH = 32


@torch.no_grad()
def encode(rank, processes, options):
    vae = networks.VAE()
    vae.load_state_dict(torch.load(options.work + "/vae_state.pt")["model"] if not options.from_model
                        else read_safetensors(options.from_model + "/vae/diffusion_pytorch_model.safetensors"))
    vae.requires_grad_(False)
    pictures, records = dataset.load(options.data)
    part = range(rank * len(pictures) // processes, (rank + 1) * len(pictures) // processes)
    latents = torch.cat([encode_with_mirror(vae, to_tensor(pictures[k:min(k + BATCH, part.stop)])) for k in part[::BATCH]])
    path = options.work + "/latents.{}.pt"
    torch.save(latents, path.format(rank))
    dist.barrier()
    if rank == 0:
        parts = [path.format(k) for k in range(processes)]
        collect(vae, torch.cat([torch.load(p) for p in parts]), records, options)
        for p in parts:
            os.remove(p)


def encode_with_mirror(vae, x):
    """-> [n, 2, channels, height, width]"""
    with torch.autocast("cpu", torch.bfloat16):
        return torch.stack([vae.encode(x)[0].float(), vae.encode(x.flip(3))[0].float()], 1)


def collect(vae, latents, records, options):
    if options.from_model:
        scale = read_json(options.from_model + "/vae/config.json")["scaling_factor"]
        latents *= scale
        Tokenizer.load(options.from_model + "/tokenizer").save(options.work + "/tokenizer")
    else:
        axes = (0, 1, 3, 4)
        mean, deviation, common = latents.mean(axes), latents.std(axes), latents.std()
        equalise_channels(vae, mean, common / deviation)
        scale = float(1 / common)
        latents = (latents - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)
        print("channel means", mean.tolist(), "deviations", deviation.tolist(), "scaling factor", scale)
    tokenizer = Tokenizer.load(options.work + "/tokenizer")
    tokens = np.array([[tokenizer.encode(text, pad=0) for text in record["captions"]] for record in records], np.int16)
    place = torch.tensor([[record["whole"], *record["crop"]] for record in records]).float()
    save(options.work + "/vae.pt", model=vae.state_dict(), scale=scale)
    save(options.work + "/latents.pt", latents=latents.half(), scale=scale, tokens=torch.from_numpy(tokens), place=place)


def equalise_channels(vae, mean, gain):
    """Replace the latent z by (z - mean) * gain without changing what the autoencoder computes."""
    channels = len(mean)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:channels] *= gain.view(-1, 1, 1, 1)
    before.bias[:channels] = (before.bias[:channels] - mean) * gain
    before.bias[channels:] += 2 * gain.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= gain.view(1, -1, 1, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--from-model")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    parallel.launch(encode, options.processes, options)
