"""Finish the decoder alone on the frozen latents: python train_decoder.py DATA WORK --until HH:MM

The L1 losses of the autoencoder average unpredictable texture away. Here a texture loss asks for the right amount of
contrast in every direction and neighbourhood, whatever its exact pattern, and a small judge of patches, trained
alongside, for patterns that look rendered. Noise on the latents stands for the denoiser's errors.
Starts from WORK/vae.pt, writes WORK/vae_sharp.pt, and goes on from there when it is run again; WORK/judge.pt keeps the
judge. export.py blends the two decoders, which share their ancestry: the sharp one alone overstates its strokes.
"""
import argparse
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import dataset
import networks
import parallel
from muon import MuonAdamW
from training import Deadline, differences, load_if_there, rate_factor, save, to_tensor
from train_vae import is_matrix

CELLS, BATCH = 12, 2                    # latent cells across a crop, crops per process and step
LEARNING_RATE, FLAT = 6e-4, .5
JUDGE_RATE, JUDGE_START = 4e-4, 100     # its opinion counts after that many steps of a run
LATENT_NOISE = .06
EDGES, BLOCKS, TEXTURE, OPINION = .2, .5, .35, .4
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
SCALES = (1, 2, 4)


class Judge(nn.Module):
    """High where a patch looks rendered, low where it looks decoded."""

    def __init__(self, width=24):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(4, 2 * width), nn.LeakyReLU(.2),
            nn.Conv2d(2 * width, 3 * width, 4, 2, 1), nn.GroupNorm(4, 3 * width), nn.LeakyReLU(.2),
            nn.Conv2d(3 * width, 1, 3, 1, 1))

    def forward(self, x):
        return self.layers(x)


def contrasts(x):
    """Root mean squares of directed differences over overlapping neighbourhoods, at several scales."""
    for scale in SCALES:
        coarse = F.avg_pool2d(x, scale) if scale > 1 else x
        for down, right in DIRECTIONS:
            change = coarse - torch.roll(coarse, (down, right), (2, 3))
            yield (F.avg_pool2d(change * change, 8, 4) + 1e-4).sqrt()


def losses(y, x):
    """-> L1, texture, all but the judge's opinion"""
    pixels = (y - x).abs().mean()
    edges = sum((a - b).abs().mean() for a, b in zip(differences(y), differences(x)))
    blocks = (F.avg_pool2d(y, 4) - F.avg_pool2d(x, 4)).abs().mean()
    texture = sum((a - b).abs().mean() for a, b in zip(contrasts(y), contrasts(x))) / len(DIRECTIONS)
    return pixels, texture, pixels + EDGES * edges + BLOCKS * blocks + TEXTURE * texture


def opinion_weight(loss, opinion, last_layer):
    """So that the judge pulls at the last layer with a fixed share of the other losses' strength."""
    mine, judges = (torch.autograd.grad(value, last_layer, retain_graph=True)[0].norm() for value in (loss, opinion))
    return (OPINION * mine / (judges + 1e-4)).clamp(max=10).detach()


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


class Run:
    def __init__(self, options):
        self.path, self.judge_path = options.work + "/vae_sharp.pt", options.work + "/judge.pt"
        start = load_if_there(self.path) or torch.load(options.work + "/vae.pt")
        torch.manual_seed(1)
        self.scale, self.vae, self.judge = start["scale"], networks.VAE(), Judge()
        self.vae.load_state_dict(start["model"])
        judged = load_if_there(self.judge_path)
        if judged:
            self.judge.load_state_dict(judged["model"])
        trained = [(n, p) for n, p in self.vae.named_parameters() if n.startswith(("decoder", "post_quant"))]
        self.pool, self.judge_pool = parallel.GradientPool(p for _, p in trained), parallel.GradientPool(self.judge.parameters())
        self.optimizer = MuonAdamW(trained, is_matrix, options.rate)
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), JUDGE_RATE, betas=(.5, .9))
        self.step = 0

    def improve_decoder(self, latents, x, progress):
        """-> the decoded crops, L1, texture, progress averaged over the processes"""
        with torch.autocast("cpu", torch.bfloat16):
            y = self.vae.decode(latents).float()
            opinion = -self.judge(y).float().mean()
        pixels, texture, loss = losses(y, x)
        if self.step >= JUDGE_START:
            loss = loss + opinion_weight(loss, opinion, self.vae.decoder.conv_out.weight) * opinion
        self.pool.zero()
        loss.backward()
        progress = self.pool.average(progress)
        self.optimizer.step(rate_factor(self.step, progress, FLAT))
        return y.detach(), pixels.item(), texture.item(), progress

    def improve_judge(self, decoded, rendered):
        with torch.autocast("cpu", torch.bfloat16):
            decoded, rendered = self.judge(torch.cat([decoded, rendered])).float().chunk(2)
        loss = F.relu(1 - rendered).mean() + F.relu(1 + decoded).mean()
        self.judge_pool.zero()
        loss.backward()
        self.judge_pool.average(0)
        self.judge_optimizer.step()
        return loss.item()

    def save(self):
        save(self.path, model=self.vae.state_dict(), scale=self.scale)
        save(self.judge_path, model=self.judge.state_dict())


def train(rank, processes, options):
    run, seed = Run(options), int(time.time())
    torch.manual_seed(seed + rank)
    crops, progress, recent = Crops(options.data, options.work, np.random.default_rng([seed, rank])), 0., []
    deadline, saved = Deadline(options.until), time.time()
    while progress < 1:
        latents, x = crops.draw()
        y, pixels, texture, progress = run.improve_decoder(latents, x, deadline.progress())
        recent.append((pixels, texture, run.improve_judge(y, x)))
        run.step += 1
        if rank == 0 and run.step % 100 == 0:
            print("step %d  %.0f s  l1 %.4f  texture %.4f  judge %.3f" % (run.step, deadline.passed(), *np.mean(recent, 0)), flush=True)
            recent = []
        if rank == 0 and (time.time() - saved > 120 or progress >= 1):
            saved = time.time()
            run.save()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--until", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    options = parser.parse_args()
    parallel.launch(train, options.processes, options)
