"""Pictures from the model folder with torch and numpy alone: native, direct, MultiDiffusion and CutDiffusion.

    python sample.py MODEL OUT.png "a mountain range at sunset above a lake" --count 6
    python sample.py MODEL OUT.png "..." --method cut --scale 4 --share 0.3
"""
import argparse
import json
import os

import numpy as np
import torch

import networks
import png
from diffusion import TIMESTEPS, signal_shares
from tokenizer import Tokenizer


def read_safetensors(path):
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, stop = (8 + length + place for place in entry["data_offsets"])
        values = np.frombuffer(content[start:stop], np.float16).astype(np.float32)
        tensors[name] = torch.from_numpy(values).view(entry["shape"])
    return tensors


def read_json(path):
    with open(path) as file:
        return json.load(file)


def load_network(kind, folder, weights):
    config = read_json(folder + "/config.json")
    network = kind(config)
    network.load_state_dict(read_safetensors(f"{folder}/{weights}.safetensors"))
    return network.eval().requires_grad_(False), config


class Sampler:
    """DDIM without noise on velocities, trailing timesteps, zero terminal signal, classifier-free guidance against zeros."""

    def __init__(self, folder, steps=25, guidance=3., batch=32):
        weights = "diffusion_pytorch_model"
        self.unet, config = load_network(networks.UNet, folder + "/unet", weights)
        self.vae, vae_config = load_network(networks.VAE, folder + "/vae", weights)
        one, _ = load_network(networks.ClipText, folder + "/text_encoder", "model")
        two, _ = load_network(networks.ClipText, folder + "/text_encoder_2", "model")
        self.text = networks.TextPair.of(one, two)
        self.tokenizer = Tokenizer.load(folder + "/tokenizer")
        self.side, self.scaling = config["sample_size"], vae_config["scaling_factor"]
        self.native = self.side * 8
        self.steps, self.guidance, self.batch = steps, guidance, batch
        shares = signal_shares()
        timesteps = torch.arange(TIMESTEPS, 0, -TIMESTEPS / steps, dtype=torch.float64).round().long() - 1
        self.timesteps = timesteps
        self.shares = torch.cat([shares[timesteps], torch.ones(1)])

    def prompt(self, text):
        tokens = torch.tensor([self.tokenizer.encode(text)]), torch.tensor([self.tokenizer.encode(text, pad=0)])
        return self.text(*tokens)

    def velocity(self, latents, step, prompt, places):
        """Guided velocity of native-size or larger latents; places [n, 6]: whole size, crop, target size."""
        context, pooled = prompt
        out = []
        for x, ids in zip(latents.split(self.batch), places.split(self.batch)):
            n = len(x)
            told, untold = self.unet(
                torch.cat([x, x]), self.timesteps[step].expand(2 * n),
                torch.cat([context.expand(n, -1, -1), torch.zeros_like(context).expand(n, -1, -1)]),
                torch.cat([pooled.expand(n, -1), torch.zeros_like(pooled).expand(n, -1)]), ids.repeat(2, 1)).chunk(2)
            out.append(untold + self.guidance * (told - untold))
        return torch.cat(out)

    def advance(self, x, velocity, step):
        share, following = self.shares[step], self.shares[step + 1]
        clean = share.sqrt() * x - (1 - share).sqrt() * velocity
        noise = share.sqrt() * velocity + (1 - share).sqrt() * x
        return following.sqrt() * clean + (1 - following).sqrt() * noise

    def place(self, count=1, whole=None, crop=(0, 0)):
        whole = whole or self.native
        return torch.tensor([[whole, whole, *crop, self.native, self.native]]).float().repeat(count, 1)

    def direct(self, text, count, scale, rng):
        """Whole pictures at once, claiming the native size; scale 1 is the native model."""
        prompt, side = self.prompt(text), self.side * scale
        x = torch.randn(count, 4, side, side, generator=rng)
        for step in range(self.steps):
            x = self.advance(x, self.velocity(x, step, prompt, self.place(count)), step)
        return x

    def cut(self, text, scale, rng, share=.3, told=True, stride=None):
        """CutDiffusion: a share of the steps on scale x scale native patches that trade pixels, the rest in windows.

        told: each window is conditioned on its place in the whole picture. share 0 is MultiDiffusion.
        """
        prompt, side, structure = self.prompt(text), self.side, round(share * self.steps)
        x = torch.randn(scale * scale, 4, side, side, generator=rng)
        for step in range(structure):
            order = torch.rand(scale * scale, 1, side, side, generator=rng).argsort(0).expand(-1, 4, -1, -1)
            x = x.gather(0, order)
            x = self.advance(x, self.velocity(x, step, prompt, self.place(scale * scale)), step)
        whole = x.view(scale, scale, 4, side, side).permute(2, 3, 0, 4, 1).reshape(1, 4, side * scale, side * scale)
        return self.refine(whole, prompt, structure, told, stride or side // 2)

    def refine(self, x, prompt, first_step, told, stride):
        """The remaining steps in overlapping native windows whose velocities are averaged."""
        corners = self._corners(x.shape[2], stride)
        whole = x.shape[2] * 8 if told else self.native
        places = torch.cat([self.place(1, whole, (i * 8, j * 8) if told else (0, 0)) for i, j in corners])
        area = lambda i, j: (slice(None), slice(i, i + self.side), slice(j, j + self.side))
        for step in range(first_step, self.steps):
            windows = torch.stack([x[0][area(i, j)] for i, j in corners])
            total, count = torch.zeros_like(x[0]), torch.zeros_like(x[0])
            for (i, j), velocity in zip(corners, self.velocity(windows, step, prompt, places)):
                total[area(i, j)] += velocity
                count[area(i, j)] += 1
            x = self.advance(x, (total / count)[None], step)
        return x

    def _corners(self, length, stride):
        starts = sorted({*range(0, length - self.side, stride), length - self.side})
        return [(i, j) for i in starts for j in starts]

    def pixels(self, latents):
        """uint8 pictures"""
        pictures = []
        for latent in latents:
            y = self.vae.decode(latent[None] / self.scaling)[0]
            pictures.append(((y.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
        return pictures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("prompt")
    parser.add_argument("--method", choices=["native", "direct", "multi", "cut"], default="native")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--share", type=float, default=.3, help="share of the steps in CutDiffusion's first stage")
    parser.add_argument("--stride", type=int, default=8, help="of the windows, in latent cells")
    parser.add_argument("--plain", action="store_true", help="do not tell windows their place")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--separate", action="store_true", help="one file per picture, numbered, instead of a sheet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sampler = Sampler(options.model, options.steps, options.guidance)
    rng = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():
        if options.method in ("native", "direct"):
            latents = sampler.direct(options.prompt, options.count, options.scale if options.method == "direct" else 1, rng)
        else:
            share = options.share if options.method == "cut" else 0
            latents = [sampler.cut(options.prompt, options.scale, rng, share, not options.plain, options.stride)[0]
                       for _ in range(options.count)]
        pictures = sampler.pixels(latents)
    if options.separate:
        stem, ending = os.path.splitext(options.out)
        for k, picture in enumerate(pictures):
            png.save(f"{stem}-{k}{ending}", picture)
    else:
        png.save(options.out, png.sheet(pictures, options.columns))


if __name__ == "__main__":
    main()
