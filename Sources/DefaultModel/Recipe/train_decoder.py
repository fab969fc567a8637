"""Finish the decoder alone on the frozen latents: python train_decoder.py DATA WORK --until HH:MM

The L1 losses of the autoencoder average unpredictable texture away. Here a texture loss asks for the right amount of fine
contrast in every 8x8 block, whatever its exact pattern, and noise on the latents stands for the denoiser's errors.
Updates WORK/vae.pt in place; starts from it, so it can be run again.
"""
import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F

import dataset
import networks
import parallel
from muon import MuonAdamW
from training import Deadline, differences, rate_factor, save, to_tensor
from train_vae import is_matrix

CELLS, BATCH = 12, 2                    # latent cells across a crop, crops per process and step
LEARNING_RATE, FLAT = 6e-4, .5
LATENT_NOISE = .06
EDGES, BLOCKS, TEXTURE = .15, .5, 1.5   # weights of the losses beside L1


def fine_contrast(x):
    """Root mean square of what a 2x2 mean loses, in every 8x8 block."""
    fine = x - F.interpolate(F.avg_pool2d(x, 2), scale_factor=2., mode="bilinear", align_corners=False)
    return (F.avg_pool2d(fine * fine, 8) + 1e-4).sqrt()


def losses(y, x):
    """-> L1, texture, everything"""
    pixels = (y - x).abs().mean()
    edges = sum((a - b).abs().mean() for a, b in zip(differences(y), differences(x)))
    y_blocks, x_blocks = F.avg_pool2d(y, 4), F.avg_pool2d(x, 4)
    texture = (fine_contrast(y) - fine_contrast(x)).abs().mean()
    texture = texture + (fine_contrast(F.avg_pool2d(y, 2)) - fine_contrast(F.avg_pool2d(x, 2))).abs().mean()
    return pixels, texture, pixels + EDGES * edges + BLOCKS * (y_blocks - x_blocks).abs().mean() + TEXTURE * texture


class Crops:
    """Random crops of latents and of the pictures they stand for, mirrored half of the time."""

    def __init__(self, data, work, rng):
        self.pictures, _ = dataset.load(data)
        saved = torch.load(work + "/latents.pt")
        self.latents, self.scale, self.rng = saved["latents"], saved["scale"], rng

    def draw(self):
        size, grid = CELLS * dataset.GRID, dataset.GRID
        latents, pictures = [], []
        for k in self.rng.integers(len(self.pictures), size=BATCH):
            mirrored = int(self.rng.integers(2))
            row, column = self.rng.integers(0, dataset.NATIVE // grid - CELLS + 1, 2)
            picture = self.pictures[k][:, ::-1] if mirrored else self.pictures[k]
            pictures.append(picture[row * grid:row * grid + size, column * grid:column * grid + size])
            latents.append(self.latents[k, mirrored, :, row:row + CELLS, column:column + CELLS])
        latents = torch.stack(latents).float()
        return (latents + LATENT_NOISE * torch.randn_like(latents)) / self.scale, to_tensor(np.stack(pictures))


def train(rank, processes, options):
    path = options.work + "/vae.pt"
    start, vae = torch.load(path), networks.VAE()
    vae.load_state_dict(start["model"])
    trained = [(n, p) for n, p in vae.named_parameters() if n.startswith(("decoder", "post_quant"))]
    pool = parallel.GradientPool(p for _, p in trained)
    optimizer = MuonAdamW(trained, is_matrix, options.rate)
    seed = int(time.time())
    torch.manual_seed(seed + rank)
    crops, step, progress, recent = Crops(options.data, options.work, np.random.default_rng([seed, rank])), 0, 0., []
    deadline, saved = Deadline(options.until), time.time()
    while progress < 1:
        latents, x = crops.draw()
        with torch.autocast("cpu", torch.bfloat16):
            y = vae.decode(latents)
        pixels, texture, loss = losses(y.float(), x)
        pool.zero()
        loss.backward()
        progress = pool.average(deadline.progress())
        optimizer.step(rate_factor(step, progress, FLAT))
        step += 1
        recent.append((pixels.item(), texture.item()))
        if rank == 0 and step % 100 == 0:
            print("step %d  %.0f s  l1 %.4f  texture %.4f" % (step, deadline.passed(), *np.mean(recent, 0)), flush=True)
            recent = []
        if rank == 0 and (time.time() - saved > 120 or progress >= 1):
            saved = time.time()
            save(path, model=vae.state_dict(), scale=start["scale"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--until", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    options = parser.parse_args()
    parallel.launch(train, options.processes, options)
