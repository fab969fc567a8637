"""Hold the twins and an exported folder against diffusers and transformers: python check_parity.py MODEL

Prints the largest differences: text states, pooled text, latents after eight guided steps, decoded pixels, encoder means.
"""
import sys

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline

from captions import caption
from sample import Sampler
from scenes import sample_scene

PROMPT = "a mountain range at sunset above a lake"
STEPS, GUIDANCE = 8, 3.


def difference(a, b):
    return (a - b).abs().max().item()


@torch.no_grad()
def main(folder):
    torch.set_num_threads(1)
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    sampler = Sampler(folder, STEPS, GUIDANCE)
    side, size = sampler.side, sampler.native
    check_tokens(pipe, sampler)
    context, pooled = sampler.prompt(PROMPT)
    states, empty_states, pooled_states, _ = pipe.encode_prompt(
        PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
    print("text", difference(states, context), "pooled", difference(pooled_states, pooled), "empty prompt", empty_states.abs().max().item())
    start = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(0))
    theirs = pipe(PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, height=size, width=size,
                  latents=start.clone(), output_type="latent").images
    ours = start
    for step in range(STEPS):
        ours = sampler.advance(ours, sampler.velocity(ours, step, (context, pooled), sampler.place()), step)
    print("latents", difference(theirs, ours), "of", ours.abs().max().item())
    latent = ours / sampler.scaling
    print("decoder", difference(pipe.vae.decode(latent).sample, sampler.vae.decode(latent)))
    picture = torch.rand(1, 3, size, size) * 2 - 1
    print("encoder", difference(pipe.vae.encode(picture).latent_dist.mean, sampler.vae.encode(picture)[0]))


def check_tokens(pipe, sampler):
    """Captions and stray text. An exclamation mark is left out: it is the second tokenizer's padding and splits words."""
    rng = np.random.default_rng(1)
    texts = [caption(sample_scene(k), rng) for k in range(300)] + [PROMPT, "", "It's a Red  sailboat, zebra? 42"]
    for text in texts:
        for theirs, pad in ((pipe.tokenizer, None), (pipe.tokenizer_2, 0)):
            tokens = theirs(text, padding="max_length", max_length=77, truncation=True).input_ids
            assert tokens == sampler.tokenizer.encode(text, pad=pad), (text, tokens)
    print("tokens equal on", len(texts), "texts")


if __name__ == "__main__":
    main(sys.argv[1])
