#!/usr/bin/env python3
"""Writes regions.safetensors beside this script, with PyTorch and diffusers.

    python make_region_fixtures.py

What MultiDiffusion (arXiv 2302.08113) makes of the shipped model where regions have prompts of their
own (section 4.2, without bootstrapping), and of a panorama whose sides join, written from the paper's
formulas as in make_method_fixtures.py: every window is asked with every prompt, and weighed by its mask.

`regions` is (1, 4, 32, 32), of 256x256 pixels, windows jittered; `panorama` is (1, 4, 16, 32), of 256x128.
6 steps, guidance 3, seed 7, windows 8 latents apart. `probe` as in make_fixtures.py.
"""

import numpy
import torch

import make_fixtures
import make_method_fixtures
from make_method_fixtures import CHANNELS, INITIAL, NATIVE, SIDE, STRIDE

STEPS = 6
# Columns and rows in latents, and what is there.
REGIONS = [
    (slice(0, 18), slice(0, 32), "a night sky with stars and a full moon"),
    (slice(10, 32), slice(4, 21), "a green meadow at noon"),
]


def masks():
    """The background's, then each region's."""
    regions = torch.zeros(len(REGIONS), SIDE, SIDE)
    for mask, (columns, rows, _) in zip(regions, REGIONS):
        mask[rows, columns] = 1
    background = (1 - regions.sum(0)).clamp(min=0)
    return [background, *regions]


def jittered(step):
    """Top left corners of the windows of a step."""
    limit, jitter = SIDE - NATIVE, (NATIVE - STRIDE) // 4
    starts = [min(q * STRIDE, limit) for q in range(-(-limit // STRIDE) + 1)]
    corners = [(top, left) for top in starts for left in starts]
    for window, corner in enumerate(corners):
        ranges = [(0 if s == limit else -jitter, 0 if s == 0 else jitter) for s in corner]
        moved = make_method_fixtures.offsets(step, window, ranges)
        yield tuple(min(max(s + d, 0), limit) for s, d in zip(corner, moved))


def regions(model):
    scheduler = model.scheduler(STEPS)
    texts = [model.text] + [
        make_fixtures.embeddings(model.pipe, text, None) for _, _, text in REGIONS
    ]
    z = make_method_fixtures.noise(SIDE, lambda c, y: (INITIAL, c, y))
    z = z * scheduler.init_noise_sigma
    for step, t in enumerate(scheduler.timesteps):
        value, count = torch.zeros_like(z), torch.zeros(SIDE, SIDE)
        for y, x in jittered(step):
            here = (..., slice(y, y + NATIVE), slice(x, x + NATIVE))
            for text, mask in zip(texts, masks()):
                model.text = text
                value[here] += mask[here] * model.whole(z[here], t)
                count[here] += mask[here]
        z = scheduler.step(value / count, t, z).prev_sample
    model.text = texts[0]
    return z


def panorama(model):
    scheduler = model.scheduler(STEPS)
    rows = [
        [make_method_fixtures.gaussians(INITIAL, c, y, SIDE) for y in range(NATIVE)]
        for c in range(CHANNELS)
    ]
    z = torch.tensor(numpy.array(rows), dtype=torch.float32)[None] * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        value, count = torch.zeros_like(z), torch.zeros(SIDE)
        for left in range(0, SIDE, STRIDE):
            columns = [(left + x) % SIDE for x in range(NATIVE)]
            value[..., columns] += model.whole(z[..., columns], t)
            count[columns] += 1
        z = scheduler.step(value / count, t, z).prev_sample
    return z


if __name__ == "__main__":
    make_method_fixtures.write("regions.safetensors", __doc__, [regions, panorama])
