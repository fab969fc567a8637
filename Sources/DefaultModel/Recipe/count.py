"""Count horizons and suns in pictures: python count.py a.png b.png ...   prints JSON

A small network (train_counter.py, weights in counter.npz) marks sky and discs (suns, moons) in the picture, brought to
128 x 128. Horizons: how often a column goes from sky to land, top to bottom, averaged over the columns; a good
landscape has 1. Suns: separate discs; a good landscape has 1, under an overcast sky none. Of a disc larger than those it
was trained on, or one with a dark crack, the network often marks the rim alone, in pieces: pieces that lie within a small
disc's breadth of each other are one. Pictures of any size are taken as one view: give whole pictures, not crops.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import png

SIDE = 128
WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "counter.npz")
CERTAIN_SKY, CERTAIN_LAND = .65, .35
SMALLEST_DISC, DISC = 6, .5             # pixels of the 128 x 128 view; probability
NEAR = 3                                # pieces with at most twice as many pixels between them are one disc
MANY_HORIZONS = 1.4


class Counter(nn.Module):
    """[n, 3, 128, 128] in -1..1 -> logits [n, 2, 128, 128] of sky and disc."""

    def __init__(self, width=12):
        super().__init__()
        step = lambda inputs, outputs, stride=1: nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(4, outputs), nn.SiLU())
        self.fine = step(3, width)
        self.halved = nn.Sequential(step(width, 2 * width, 2), step(2 * width, 2 * width))
        self.quartered = nn.Sequential(step(2 * width, 3 * width, 2), step(3 * width, 3 * width), step(3 * width, 3 * width))
        self.to_half = step(5 * width, 2 * width)
        self.to_fine = step(3 * width, width)
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        fine = self.fine(x)
        half = self.halved(fine)
        up = lambda t: F.interpolate(t, scale_factor=2., mode="nearest")
        half = self.to_half(torch.cat([half, up(self.quartered(half))], 1))
        return self.out(self.to_fine(torch.cat([fine, up(half)], 1)))


def load_counter(path=WEIGHTS):
    counter = Counter()
    with np.load(path) as weights:
        counter.load_state_dict({name: torch.from_numpy(weights[name].astype(np.float32)) for name in weights.files})
    return counter.eval().requires_grad_(False)


def to_view(picture):
    """uint8 [h, w, 3] -> [1, 3, 128, 128]"""
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    return x if x.shape[2:] == (SIDE, SIDE) else F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def horizons(sky):
    """Mean number of changes from certain sky to certain land over the columns of a probability map."""
    is_sky, changes = np.zeros(sky.shape[1], bool), np.zeros(sky.shape[1])
    for row in sky:
        landed = is_sky & (row < CERTAIN_LAND)
        changes += landed
        is_sky = (is_sky | (row > CERTAIN_SKY)) & ~landed
    return float(changes.mean())


def discs(mask):
    """Groups of nearby pieces of a boolean map that have a piece of at least SMALLEST_DISC pixels."""
    pieces, found = mask.copy(), np.zeros(mask.shape, bool)
    for start in zip(*np.nonzero(mask)):
        if pieces[start]:
            piece = _taken(pieces, start)
            if len(piece) >= SMALLEST_DISC:
                found[tuple(np.transpose(piece))] = True
    left, count = _grown(found, NEAR), 0
    for start in zip(*np.nonzero(left)):
        if left[start]:
            _taken(left, start)
            count += 1
    return count


def _grown(mask, times):
    """A boolean map whose pieces are larger by so many pixels in every direction."""
    height, width = mask.shape
    padded, grown = np.pad(mask, times), np.zeros(mask.shape, bool)
    for row in range(2 * times + 1):
        for column in range(2 * times + 1):
            grown |= padded[row:row + height, column:column + width]
    return grown


def _taken(mask, start):
    """Erase the connected piece around start, return its pixels."""
    stack, piece = [start], []
    mask[start] = False
    while stack:
        row, column = stack.pop()
        piece.append((row, column))
        for place in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= place[0] < mask.shape[0] and 0 <= place[1] < mask.shape[1] and mask[place]:
                mask[place] = False
                stack.append(place)
    return piece


@torch.no_grad()
def count(picture, counter):
    """-> dict(horizons=..., suns=...) of a uint8 picture"""
    sky, disc = torch.sigmoid(counter(to_view(picture)))[0].numpy()
    return dict(horizons=round(horizons(sky), 3), suns=discs(disc > DISC))


def summary(counts):
    lines, suns = np.array([c["horizons"] for c in counts]), np.array([c["suns"] for c in counts])
    mean = lambda values: round(float(values.mean()), 3)
    return dict(pictures=len(counts), mean_horizons=mean(lines), share_with_many_horizons=mean(lines > MANY_HORIZONS),
                mean_suns=mean(suns), share_with_one_sun=mean(suns == 1))


def main(paths):
    torch.set_num_threads(1)
    counter = load_counter()
    counts = [dict(file=path, **count(png.load(path), counter)) for path in paths]
    print(json.dumps(dict(pictures=counts, summary=summary(counts)), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
