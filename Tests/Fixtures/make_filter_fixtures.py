#!/usr/bin/env python3
"""Writes image-filters.json beside this script, with PyTorch.

    python make_filter_fixtures.py

What PyTorch makes of one image of two planes, 7×10, and of its resized versions: sines of the
element's number (`wave` below), so that only answers are stored. `bicubic`,
`antialiased-bilinear`, `bilinear` and `nearest` list sizes with values; `blur` lists kernel size, sigma, surroundings and
values; `haar` has the four bands of the image and of its first six rows, by their definition as
convolutions with stride 2.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

SIZES = ((14, 20), (7, 10), (3, 4), (21, 5), (1, 1), (13, 17), (4, 31), (28, 40))
BLURS = ((3, 1.0, "reflection"), (7, 0.8, "reflection"), (3, 0.5, "zeros"), (13, 2.5, "zeros"))


def wave(*shape):
    """sin(1.618 * i), i the element's number, computed in double precision."""
    count = torch.Size(shape).numel()
    return torch.sin(1.618 * torch.arange(count, dtype=torch.float64)).float().view(shape)


def listed(tensor):
    return [round(value, 7) for value in tensor.flatten().tolist()]


def resized(image, **options):
    return [
        dict(height=height, width=width, values=listed(F.interpolate(image, size=(height, width), **options)))
        for height, width in SIZES
    ]


def blurred(image, size, sigma, surroundings):
    """torchvision's gaussian_blur, written out: a kernel from linspace, reflect padding."""
    half = (size - 1) / 2
    line = torch.exp(-0.5 * (torch.linspace(-half, half, size) / sigma) ** 2)
    line = line / line.sum()
    kernel = torch.outer(line, line).expand(image.shape[1], 1, size, size)
    mode = "reflect" if surroundings == "reflection" else "constant"
    padded = F.pad(image, [size // 2] * 4, mode=mode)
    return F.conv2d(padded, kernel, groups=image.shape[1])


def haar(image):
    high, low = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 1.0])
    extended = F.pad(image, [0, image.shape[3] % 2, 0, image.shape[2] % 2], mode="replicate")
    bands = []
    for rows, columns in ((low, low), (high, low), (low, high), (high, high)):
        kernel = (torch.outer(rows, columns) / 2).expand(image.shape[1], 1, 2, 2)
        bands.append(listed(F.conv2d(extended, kernel, stride=2, groups=image.shape[1])))
    return bands


def main():
    torch.set_num_threads(1)
    image = wave(1, 2, 7, 10)
    golden = {
        "bicubic": resized(image, mode="bicubic", align_corners=False, antialias=False),
        "antialiased-bilinear": resized(image, mode="bilinear", align_corners=False, antialias=True),
        "bilinear": resized(image, mode="bilinear", align_corners=False, antialias=False),
        "nearest": resized(image, mode="nearest"),
        "blur": [
            dict(kernelSize=size, sigma=sigma, surroundings=surroundings, values=listed(blurred(image, size, sigma, surroundings)))
            for size, sigma, surroundings in BLURS
        ],
        "haar": [
            dict(height=7, width=10, bands=haar(image)),
            dict(height=6, width=9, bands=haar(image[:, :, :6, :9])),
        ],
    }
    path = Path(__file__).resolve().parent / "image-filters.json"
    path.write_text(json.dumps(golden, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
