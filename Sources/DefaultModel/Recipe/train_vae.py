"""Train the autoencoder (AutoencoderKL, f = 8): python train_vae.py DATA WORK --until HH:MM

L1 losses on random crops, plus a pull of three latent channels toward the colours of the 8x8 block they stand for, which
starts strong, teaches the decoder colour at once, and fades. The posterior's deviation is fixed. Resumes from WORK/vae_state.pt.
"""
import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F

import dataset
import networks
import parallel
from muon import MuonAdamW
from training import Deadline, load_if_there, picture_losses, rate_factor, save, to_tensor

POSTERIOR_DEVIATION = .1
CROP, BATCH = 64, 4
LEARNING_RATE, FLAT = 2e-3, .6
COLOUR_GAIN, COLOUR_PULL, LEAST_PULL = 1.5, .5, .01
LATENTS = networks.AUTOENCODER["latent_channels"]


def new_vae():
    vae = networks.VAE()
    with torch.no_grad():                       # the log-variance half of quant_conv is a constant
        vae.quant_conv.weight[LATENTS:] = 0
        vae.quant_conv.bias[LATENTS:] = 2 * math.log(POSTERIOR_DEVIATION)
    return vae


def is_matrix(name, parameter):
    return parameter.ndim >= 2 and not any(word in name for word in ("conv_in", "conv_out", "quant"))


def random_crops(pictures, rng):
    chosen = rng.integers(len(pictures), size=BATCH)
    corners = rng.integers(0, dataset.NATIVE - CROP + 1, (BATCH, 2))
    x = to_tensor([pictures[k, top:top + CROP, left:left + CROP] for k, (top, left) in zip(chosen, corners)])
    return x.flip(3) if rng.random() < .5 else x


def losses_of(vae, x, progress):
    """-> L1, everything"""
    with torch.autocast("cpu", torch.bfloat16):
        mean, _ = vae.encode(x)
        y = vae.decode(mean + POSTERIOR_DEVIATION * torch.randn_like(mean))
    mean, y = mean.float(), y.float()
    pixels, loss = picture_losses(y, x)
    colour = F.mse_loss(mean[:, :3], COLOUR_GAIN * F.avg_pool2d(x, 8))
    pull = max(LEAST_PULL, COLOUR_PULL * (1 - 2 * progress))
    return pixels, loss + pull * colour + 1e-3 * (mean ** 2).mean()


def train(rank, processes, options):
    torch.manual_seed(1)
    vae, path, step = new_vae(), options.work + "/vae_state.pt", 0
    state = load_if_there(path)
    pool = parallel.GradientPool(vae.parameters())
    optimizer = MuonAdamW(vae.named_parameters(), is_matrix, LEARNING_RATE)
    if state:
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    pictures, _ = dataset.load(options.data)
    rng = np.random.default_rng([step, rank])
    torch.manual_seed(1000 * step + rank)
    deadline, progress, saved, recent = Deadline(options.until), 0., time.time(), []
    while progress < 1:
        pixels, loss = losses_of(vae, random_crops(pictures, rng), progress)
        pool.zero()
        loss.backward()
        vae.quant_conv.weight.grad[LATENTS:] = 0
        vae.quant_conv.bias.grad[LATENTS:] = 0
        progress = pool.average(deadline.progress())
        optimizer.step(rate_factor(step, progress, FLAT))
        step += 1
        recent.append(pixels.item())
        if rank == 0 and step % 100 == 0:
            print("step %d  %.0f s  l1 %.4f" % (step, deadline.passed(), np.mean(recent)), flush=True)
            recent = []
        if rank == 0 and (time.time() - saved > 120 or progress >= 1):
            saved = time.time()
            save(path, model=vae.state_dict(), optimizer=optimizer.state_dict(), step=step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--until", required=True)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    parallel.launch(train, options.processes, options)
