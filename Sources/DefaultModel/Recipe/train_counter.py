"""Train count.py's network: python train_counter.py [--steps 1500]    writes counter.npz

Renders with known sky and disc masks, alone and in mosaics of up to 4 x 4 scenes with blurred seams, so that nothing can be
told from the place in the picture; softened, since generated pictures are. Prints how often the counts of fresh mosaics are right.
"""
import argparse

import numpy as np
import torch
import torch.nn.functional as F

from count import SIDE, WEIGHTS, Counter, DISC, discs, horizons
from render import render, sky_and_disc
from scenes import sample_scene

SCENES, BATCH = 1200, 12
LEARNING_RATE = 3e-3
TILES, TILE_SHARES = (1, 2, 3, 4), (.4, .25, .15, .2)
DISC_WEIGHT = 4.


def rendered(seed):
    """[5, 128, 128]: colours in -1..1, sky, disc"""
    scene = sample_scene(seed)
    colours = render(scene, SIDE).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return torch.from_numpy(np.concatenate([colours, np.stack(sky_and_disc(scene, SIDE))]))


def mosaic(scenes, rng):
    """One scene, or tiles of one or several scenes as repetitive pictures show them."""
    rows, columns = rng.choice(TILES, 2, p=TILE_SHARES)
    same = rng.random() < .3
    picks = rng.integers(len(scenes), size=rows * columns)
    bands = []
    for row in range(rows):
        tiles = []
        for column in range(columns):
            scene = scenes[picks[0] if same else picks[row * columns + column]]
            size = _part(SIDE, rows, row), _part(SIDE, columns, column)
            tiles.append(F.interpolate(scene[None], size, mode="bilinear", antialias=True, align_corners=False)[0])
        bands.append(torch.cat(tiles, 2))
    return torch.cat(bands, 1)


def _part(length, parts, k):
    return (k + 1) * length // parts - k * length // parts


def soften(x, rng):
    """Blur and a little noise; the masks stay."""
    if rng.random() < .7:
        keep = rng.uniform(.25, .8)
        small = F.interpolate(x[:, :3], scale_factor=float(keep), mode="bilinear", antialias=True, align_corners=False)
        colours = F.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=False)
        x = torch.cat([colours, x[:, 3:]], 1)
    noise = rng.uniform(0, .06) * torch.randn_like(x[:, :3])
    tone = torch.from_numpy(rng.normal(0, .06, (len(x), 3, 1, 1)).astype(np.float32))
    return torch.cat([x[:, :3] + noise + tone, x[:, 3:]], 1)


def batch(scenes, rng, size=BATCH):
    x = soften(torch.stack([mosaic(scenes, rng) for _ in range(size)]), rng)
    x = x.flip(3) if rng.random() < .5 else x
    return x[:, :3], x[:, 3:]


def check(counter, scenes, rng, count=120):
    """Share of right sun counts, mean error of the horizon count."""
    right, errors = 0, []
    for _ in range(count):
        x, masks = batch(scenes, rng, 1)
        sky, disc = torch.sigmoid(counter(x))[0].numpy()
        right += discs(disc > DISC) == discs(masks[0, 1].numpy() > DISC)
        errors.append(abs(horizons(sky) - horizons(masks[0, 0].numpy())))
    return right / count, float(np.mean(errors))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, scenes = np.random.default_rng(0), torch.stack([rendered(seed) for seed in range(SCENES)])
    counter = Counter()
    optimizer = torch.optim.AdamW(counter.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    weight = torch.tensor([1., DISC_WEIGHT]).view(2, 1, 1)
    for step in range(options.steps):
        x, masks = batch(scenes[:-100], rng)
        loss = F.binary_cross_entropy_with_logits(counter(x), masks, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print("step %d  loss %.4f" % (step + 1, loss.item()), flush=True)
    np.savez_compressed(WEIGHTS, **{name: value.half().numpy() for name, value in counter.state_dict().items()})
    with torch.no_grad():
        print("suns right in %.2f of mosaics, horizons off by %.3f" % check(counter, scenes[-100:], rng))


if __name__ == "__main__":
    main()
