"""Compare the methods on one prompt: python compare.py TESSERA OUT [--seeds 16] [--size 4x] [--show 0]

Makes the same seeds with every method, with the built program TESSERA, counts horizons and suns (count.py) and writes
OUT/comparison.png, a strip of the seed to show, and OUT/comparison.md, the table. Pictures that OUT has already are kept.
"""
import argparse
import os
import subprocess

import numpy as np

import count
import png

PROMPT = "a mountain range at sunset above a lake"
METHODS = {
    "direct": ["--method", "direct"],
    "MultiDiffusion": ["--method", "multidiffusion"],
    "CutDiffusion, windows not told their place": ["--method", "cutdiffusion", "--no-window-crops"],
    "CutDiffusion": ["--method", "cutdiffusion"],
    "upscale": ["--method", "upscale"],
}


def make(tessera, folder, number, flags, seed, size):
    """The path of one picture, made if it is not there."""
    path = os.path.join(folder, f"{number}-{seed}.png")
    if not os.path.exists(path):
        subprocess.run([tessera, "generate", "--prompt", PROMPT, "--size", size, "--seed", str(seed), "--output", path, *flags],
                       check=True, capture_output=True)
    return path


def row(name, counts):
    total = count.summary(counts)
    return f"| {name} | {total['mean_horizons']:.2f} | {total['share_with_many_horizons']:.0%} | {total['mean_suns']:.2f} | {total['share_with_one_sun']:.0%} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tessera")
    parser.add_argument("out")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--size", default="4x")
    parser.add_argument("--show", type=int, default=0)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    counter = count.load_counter()
    lines = ["| method | horizons, mean | pictures with more than 1.4 | suns, mean | pictures with exactly one |", "|---|---|---|---|---|"]
    strip = []
    for number, (name, flags) in enumerate(METHODS.items()):
        pictures = [png.load(make(options.tessera, options.out, number, flags, seed, options.size)) for seed in range(options.seeds)]
        lines.append(row(name, [count.count(picture, counter) for picture in pictures]))
        strip.append(pictures[options.show])
    gap = np.full((strip[0].shape[0], 8, 3), 255, np.uint8)
    columns = [part for picture in strip for part in (picture, gap)][:-1]
    png.save(os.path.join(options.out, "comparison.png"), np.concatenate(columns, 1))
    with open(os.path.join(options.out, "comparison.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
