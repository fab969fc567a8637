#!/usr/bin/env python3
"""Writes methods.safetensors beside this script, with PyTorch and diffusers.

    python make_method_fixtures.py

What DemoFusion (arXiv 2311.16973), ScaleDiff (arXiv 2510.25818), RectifiedHR (arXiv 2503.02537),
DiffuseHigh (arXiv 2406.18459; a Haar wavelet of the latent) and FreCaS (arXiv 2410.18410), windows instead of their whole canvas,
make of the shipped model, written from the papers' formulas as plain loops over diffusers' own
network, autoencoder and DDIM scheduler; no line of it comes from the Swift program or goes by a plan
of it. Random numbers are Philox 4x32-10, counted by (purpose, step, index) as the program counts
them, so that noise and jitter are the same.

Each is a final latent (1, 4, 32, 32) of 256x256 pixels, twice native; 6 steps for DemoFusion and 10
for the others, guidance 3, seed 7, the prompt below. `probe` as in make_fixtures.py.
"""

import argparse
import math
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import diffusers
import numpy
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiffusionPipeline
from safetensors.torch import save_file

import make_fixtures

HERE = Path(__file__).resolve().parent
PROMPT = make_fixtures.RUNS["default"][0]
SEED = 7
GUIDANCE = 3.0
NATIVE = 16
SIDE = 32
STRIDE = 8
CHANNELS = 4

# ---- Random numbers -----------------------------------------------------------------------------

INITIAL, JITTER, RENOISE = 1, 2, 4


def philox(purpose, step, index, blocks):
    """Words (blocks, 4) of the stream (purpose, step, index), by Salmon et al., SC 2011."""
    full = lambda value: numpy.full(blocks, value, dtype=numpy.uint64)
    mask, shift = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)
    c = [numpy.arange(blocks, dtype=numpy.uint64), full(index), full(step), full(purpose)]
    k = [SEED & 0xFFFFFFFF, SEED >> 32]
    for _ in range(10):
        left = c[0] * numpy.uint64(0xD2511F53)
        right = c[2] * numpy.uint64(0xCD9E8D57)
        c = [
            (right >> shift) ^ c[1] ^ numpy.uint64(k[0]), right & mask,
            (left >> shift) ^ c[3] ^ numpy.uint64(k[1]), left & mask,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return numpy.stack(c, axis=1)


def gaussians(purpose, step, index, count):
    """`count` numbers from N(0, 1): Box and Muller's pairs of two 53-bit fractions."""
    words = philox(purpose, step, index, (count + 1) // 2)
    first = (words[:, 0] | words[:, 1] << numpy.uint64(32)) >> numpy.uint64(11)
    second = (words[:, 2] | words[:, 3] << numpy.uint64(32)) >> numpy.uint64(11)
    radius = numpy.sqrt(-2 * numpy.log((first.astype(float) + 1) * 2.0**-53))
    angle = 2 * numpy.pi * second.astype(float) * 2.0**-53
    pairs = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count]


def noise(side, stream):
    """(1, 4, side, side); `stream` names the stream of a channel's row."""
    rows = [[gaussians(*stream(c, y), side) for y in range(side)] for c in range(CHANNELS)]
    return torch.tensor(numpy.array(rows), dtype=torch.float32)[None]


def offsets(step, window, ranges):
    """One whole number out of each closed range, by Lemire's multiplication."""
    words = iter(philox(JITTER, step, window, 8).reshape(-1).tolist())
    for low, high in ranges:
        bound = high - low + 1
        product = next(words) * bound
        while (product & 0xFFFFFFFF) < (2**32 - bound) % bound:
            product = next(words) * bound
        yield low + (product >> 32)


# ---- The model ----------------------------------------------------------------------------------


class Model:
    def __init__(self, folder):
        self.pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        self.text = make_fixtures.embeddings(self.pipe, PROMPT, None)
        self.scale = self.pipe.vae_scale_factor

    def scheduler(self, steps):
        scheduler = DDIMScheduler.from_config(self.pipe.scheduler.config)
        scheduler.set_timesteps(steps)
        return scheduler

    def predict(self, view, timestep, ids, guidance=GUIDANCE, details=None):
        """Guided prediction for one native view (1, 4, 16, 16), where there is a weight of `details`
        in two bands: what is left of half the side, and the rest."""
        def half(name):
            added = dict(
                text_embeds=self.text[f"{name}.pooled"][None], time_ids=torch.tensor([ids]).float())
            return self.pipe.unet(
                view, timestep, encoder_hidden_states=self.text[f"{name}.hidden"][None],
                added_cond_kwargs=added,
            ).sample
        negative, prompt = half("negative"), half("prompt")
        if details is None:
            return negative + guidance * (prompt - negative)
        def bands(x):
            resize = lambda y, side: F.interpolate(y, size=(side, side), mode="bilinear")
            low = resize(resize(x, NATIVE // 2), NATIVE)
            return low, x - low
        return sum(
            u + weight * (c - u)
            for u, c, weight in zip(bands(negative), bands(prompt), (guidance, details)))

    def whole(self, view, timestep):
        side = NATIVE * self.scale
        return self.predict(view, timestep, [side, side, 0, 0, side, side])

    def windows(self, canvas, timestep, step, guidance=GUIDANCE, details=None):
        """MultiDiffusion's mean over jittered windows, which stay inside the canvas."""
        total, count = torch.zeros_like(canvas), torch.zeros_like(canvas)
        limit, jitter = SIDE - NATIVE, (NATIVE - STRIDE) // 4
        starts = [min(q * STRIDE, limit) for q in range(-(-limit // STRIDE) + 1)]
        window = 0
        for top in starts:
            for left in starts:
                ranges = [
                    (0 if start == limit else -jitter, 0 if start == 0 else jitter)
                    for start in (top, left)
                ]
                dy, dx = offsets(step, window, ranges)
                y, x = (min(max(v, 0), limit) for v in (top + dy, left + dx))
                size, native = SIDE * self.scale, NATIVE * self.scale
                ids = [size, size, y * self.scale, x * self.scale, native, native]
                part = canvas[..., y:y + NATIVE, x:x + NATIVE]
                total[..., y:y + NATIVE, x:x + NATIVE] += self.predict(
                    part, timestep, ids, guidance, details)
                count[..., y:y + NATIVE, x:x + NATIVE] += 1
                window += 1
        return total / count

    def base(self, steps):
        """The plain sampler at native size."""
        scheduler = self.scheduler(steps)
        z = noise(NATIVE, lambda c, y: (INITIAL, c, y)) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            z = scheduler.step(self.whole(z, t), t, z).prev_sample
        return z

    def decode(self, latent):
        """Of native side: one tile. From 0 to 1."""
        picture = self.pipe.vae.decode(latent / self.pipe.vae.config.scaling_factor).sample
        return (picture / 2 + 0.5).clamp(0, 1)

    def encode(self, picture):
        """In native tiles three quarters of a tile apart, each fading in over those before."""
        starts = [min(q * 12, SIDE - NATIVE) for q in range(-(-(SIDE - NATIVE) // 12) + 1)]
        def tile(top, left):
            rows = slice(top * self.scale, (top + NATIVE) * self.scale)
            columns = slice(left * self.scale, (left + NATIVE) * self.scale)
            mean = self.pipe.vae.encode(picture[..., rows, columns] * 2 - 1).latent_dist.mean
            return mean * self.pipe.vae.config.scaling_factor
        def join(tiles, dim):
            whole, end = tiles[0], NATIVE
            for start, new in zip(starts[1:], tiles[1:]):
                overlap = end - start
                shape = [1, 1, 1, 1]
                shape[dim] = overlap
                share = (torch.arange(overlap) / overlap).view(shape)
                old = whole.narrow(dim, start, overlap)
                mixed = old * (1 - share) + new.narrow(dim, 0, overlap) * share
                rest = new.narrow(dim, overlap, NATIVE - overlap)
                whole = torch.cat([whole.narrow(dim, 0, start), mixed, rest], dim)
                end = start + NATIVE
            return whole
        return join([join([tile(y, x) for x in starts], 3) for y in starts], 2)


def bicubic(x, side):
    return F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False)


def bilinear(x, side):
    return F.interpolate(
        x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def low_pass(x):
    return bilinear(bilinear(x, int(x.shape[-1] * 0.125)), x.shape[-1])


# ---- The methods --------------------------------------------------------------------------------


def blurred(z, size, sigma):
    """Gaussian blur, mirrored at the edges, brought back to z's mean and deviation."""
    line = torch.arange(size, dtype=torch.float64) - size // 2
    line = torch.exp(-(line**2) / (2 * sigma**2))
    kernel = (line[:, None] * line[None] / line.sum() ** 2).float()
    padded = F.pad(z, [size // 2] * 4, mode="reflect")
    g = F.conv2d(padded, kernel.expand(CHANNELS, 1, size, size), groups=CHANNELS)
    return (g - g.mean()) / g.std(unbiased=False) * z.std(unbiased=False) + z.mean()


def demofusion(model, steps=6, scale=2, sigma=0.8):
    scheduler = model.scheduler(steps)
    anchor = model.base(steps)
    clean = bicubic(anchor, SIDE)
    added = noise(SIDE, lambda c, y: (RENOISE, steps, c * SIDE + y))
    z = scheduler.add_noise(clean, added, scheduler.timesteps[:1])
    for i, t in enumerate(scheduler.timesteps):
        cosine = 0.5 * (1 + math.cos(math.pi * (1000 - t.item()) / 1000))
        c1, c2, c3 = cosine**3, cosine, 0.99 * cosine + 0.01
        z = (1 - c1) * z + c1 * scheduler.add_noise(clean, added, t[None])
        local = scheduler.step(model.windows(z, t, steps + i), t, z).prev_sample
        g, dilated = blurred(z, 2 * scale - 1, sigma * c3), torch.zeros_like(z)
        for a in range(scale):
            for b in range(scale):
                part = z[..., a::scale, b::scale]
                prediction = model.whole(g[..., a::scale, b::scale].contiguous(), t)
                dilated[..., a::scale, b::scale] = scheduler.step(prediction, t, part).prev_sample
        z = (1 - c2) * local + c2 * dilated
    return (z - z.mean()) / z.std(unbiased=False) * anchor.std(unbiased=False) + anchor.mean()


def scalediff(model, steps=10):
    scheduler = model.scheduler(steps)
    latent = model.base(steps)
    picture = bicubic(model.decode(latent), SIDE * model.scale).clamp(0, 1)
    reference = model.encode(picture)
    reference = reference + low_pass(bicubic(latent, SIDE)) - low_pass(reference)
    timesteps = scheduler.timesteps[int(steps * 0.6):]
    added = noise(SIDE, lambda c, y: (RENOISE, steps, c * SIDE + y))
    z = scheduler.add_noise(reference, added, timesteps[:1])
    signal = scheduler.alphas_cumprod
    for i, t in enumerate(timesteps):
        v = model.windows(z, t, steps + i)
        a = signal[t]
        clean = a.sqrt() * z - (1 - a).sqrt() * v
        gamma = (1 - a) / (1 - signal[timesteps[0]])
        clean = clean + gamma * (low_pass(reference) - low_pass(clean))
        v = (a.sqrt() * z - clean) / (1 - a).sqrt()
        z = scheduler.step(v, t, z).prev_sample
    return z


def clean(z, v, a):
    """x0 of a velocity."""
    return a.sqrt() * z - (1 - a).sqrt() * v


def rectifiedhr(model, steps=10):
    """One refresh after four fifths of the steps; guidance six times as strong behind it."""
    scheduler = model.scheduler(steps)
    signal, timesteps, first = scheduler.alphas_cumprod, scheduler.timesteps, steps * 4 // 5
    z = noise(NATIVE, lambda c, y: (INITIAL, c, y)) * scheduler.init_noise_sigma
    for t in timesteps[:first - 1]:
        z = scheduler.step(model.whole(z, t), t, z).prev_sample
    t = timesteps[first - 1]
    predicted = clean(z, model.whole(z, t), signal[t])
    picture = bicubic(model.decode(predicted), SIDE * model.scale).clamp(0, 1)
    added = noise(SIDE, lambda c, y: (RENOISE, first, c * SIDE + y))
    z = scheduler.add_noise(model.encode(picture), added, timesteps[first:first + 1])
    for i, t in enumerate(timesteps[first:], start=first):
        z = scheduler.step(model.windows(z, t, i, 6 * GUIDANCE), t, z).prev_sample
    return z


def sharpened(picture):
    """x + (x - blurred), a Gaussian of 3 pixels and deviation 1, mirrored at the edges."""
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64) / 2)
    kernel = (line[:, None] * line[None] / line.sum() ** 2).float()
    padded = F.pad(picture, [1] * 4, mode="reflect")
    soft = F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)
    return (2 * picture - soft).clamp(0, 1)


def diffusehigh(model, steps=10):
    scheduler = model.scheduler(steps)
    signal, timesteps = scheduler.alphas_cumprod, scheduler.timesteps[-3:]
    latent = model.base(steps)
    picture = bicubic(model.decode(latent), SIDE * model.scale).clamp(0, 1)
    guide = model.encode(sharpened(picture))
    added = noise(SIDE, lambda c, y: (RENOISE, steps, c * SIDE + y))
    z = scheduler.add_noise(guide, added, timesteps[:1])
    blocks = lambda x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="nearest")
    for i, t in enumerate(timesteps):
        v, a = model.windows(z, t, steps + i), signal[t]
        if i == 0:
            predicted = clean(z, v, a)
            predicted = predicted + blocks(guide) - blocks(predicted)
            v = (a.sqrt() * z - predicted) / (1 - a).sqrt()
        z = scheduler.step(v, t, z).prev_sample
    return z


def frecas(model, steps=10):
    """Four fifths of the steps down to timestep 200 at native size, the rest twice as large."""
    signal = model.scheduler(steps).alphas_cumprod
    base, end = steps * 4 // 5, 200
    def step(z, v, t, next):
        a, b = signal[t], 1.0 if next is None else signal[next]
        predicted = clean(z, v, a)
        noise = a.sqrt() * v + (1 - a).sqrt() * z
        return predicted if next is None else b.sqrt() * predicted + (1 - b).sqrt() * noise
    def times(start, end, count):
        return torch.linspace(start, end, count, dtype=torch.float64).int().tolist()
    def run(z, timesteps, predict):
        for i, (t, next) in enumerate(zip(timesteps, timesteps[1:] + [None])):
            z = step(z, predict(z, torch.tensor(t), i), t, next)
        return z
    z = noise(NATIVE, lambda c, y: (INITIAL, c, y))
    z = run(z, times(999, end, base), lambda z, t, i: model.whole(z, t))
    ratio = 0.5**1.5
    target = ratio * signal[end] / (1 + (ratio - 1) * signal[end])
    start = int((signal > target).sum())
    picture = F.interpolate(model.decode(z), size=(SIDE * model.scale,) * 2, mode="nearest")
    added = noise(SIDE, lambda c, y: (RENOISE, base, c * SIDE + y))
    a = signal[start]
    z = a.sqrt() * model.encode(picture) + (1 - a).sqrt() * added
    return run(
        z, times(start, 0, steps - base),
        lambda z, t, i: model.windows(z, t, base + i, GUIDANCE, GUIDANCE * 7 / 3))


def write(name, description, functions):
    """Writes what functions of the model make, by their names, to a file beside this script."""
    arguments = argparse.ArgumentParser(description=description.splitlines()[0])
    arguments.add_argument("--default", type=Path, default=make_fixtures.DEFAULT_MODEL)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    diffusers.logging.set_verbosity_error()
    model = Model(options.default)
    golden = {"probe": make_fixtures.probe(options.default)}
    golden |= {function.__name__: function(model) for function in functions}
    for key, value in golden.items():
        assert torch.isfinite(value).all(), f"{key} is not finite"
        print(f"  {key:12} {str(tuple(value.shape)):16} std {value.std():.4f}")
    golden = {key: value.float().contiguous() for key, value in golden.items()}
    path = HERE / name
    save_file(golden, path)
    path.chmod(0o644)


if __name__ == "__main__":
    write("methods.safetensors", __doc__, [demofusion, scalediff, rectifiedhr, diffusehigh, frecas])
