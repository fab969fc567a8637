"""Render the data set: python dataset.py OUT COUNT [--workers 2] [--first-seed 200000]

OUT.u8 holds COUNT pictures [128, 128, 3]; OUT.json one record each: captions, the side of the whole picture
and the crop's top left corner, in pixels, as SDXL's size and crop conditioning has them. Nearly half of the pictures are crops
of larger renders: they teach what a window of a picture two to four times the native size looks like.
"""
import argparse
import json
from multiprocessing import Pool

import numpy as np

from captions import caption
from render import render
from scenes import sample_scene

NATIVE = 128
ZOOMS = {1: .55, 1.5: .08, 2: .15, 3: .07, 4: .15}
CAPTIONS = 6
GRID = 8                                # crops start on the latent grid


def make(seed):
    """-> picture, record"""
    rng = np.random.default_rng([seed, 17])
    scene = sample_scene(seed)
    whole = int(NATIVE * rng.choice(list(ZOOMS), p=list(ZOOMS.values())))
    top, left = (int(rng.integers(0, (whole - NATIVE) // GRID + 1)) * GRID for _ in range(2))
    view = left / whole, top / whole, (left + NATIVE) / whole, (top + NATIVE) / whole
    record = dict(seed=seed, captions=[caption(scene, rng) for _ in range(CAPTIONS)], whole=whole, crop=[top, left], disc=scene.disc)
    return render(scene, NATIVE, view, NATIVE), record


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("count", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=200000)
    options = parser.parse_args()
    seeds, records = range(options.first_seed, options.first_seed + options.count), []
    with Pool(options.workers) as pool, open(options.out + ".u8", "wb") as pictures:
        for picture, record in pool.imap(make, seeds, 16):
            pictures.write(picture.tobytes())
            records.append(record)
    with open(options.out + ".json", "w") as file:
        json.dump(records, file)


def load(path):
    """-> pictures (memory-mapped), records"""
    with open(path + ".json") as file:
        records = json.load(file)
    return np.memmap(path + ".u8", np.uint8, "r", shape=(len(records), NATIVE, NATIVE, 3)), records


if __name__ == "__main__":
    main()
