#!/usr/bin/env python3
"""Writes the golden files beside this script, with PyTorch, diffusers and transformers.

    python make_fixtures.py --tessera PATH/TO/tessera

makes all of them in half a minute; `--only default` (or tiny, tiny-sd15, tokenizer) one of them.
`--tessera` is the built program, which synthesizes the tiny models (seed 0: the same bytes
everywhere); `--default` is the folder of the shipped model. PROVENANCE.md says what is in each
file.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import diffusers
import torch
import transformers
from diffusers import DDIMScheduler, DiffusionPipeline, EulerDiscreteScheduler
from diffusers.loaders import TextualInversionLoaderMixin
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTokenizer

import tricky_prompts

HERE = Path(__file__).resolve().parent
DEFAULT_MODEL = HERE.parent.parent / "Sources" / "DefaultModel" / "Model"
SEED = 7
STEPS = 20
GUIDANCE = 3.0
# One early, one middle, one late place on the training schedule.
TIMESTEPS = (999, 501, 21)
PADDED = dict(padding="max_length", max_length=77, truncation=True)
# What each run is asked for; the negative prompt None is what "no negative prompt" means.
RUNS = {
    "default": ("a mountain range at sunset above a lake", None),
    "tiny": ("the sun and the lake, it's late!", "rain and an old man's hat"),
    "tiny-sd15": ("on the lake, the moon", None),
}


def probe(folder):
    """The first values of some tensors, by which a test knows that it has the same weights."""
    values = []
    for component in ("unet", "vae", "text_encoder"):
        file = sorted((folder / component).glob("*.safetensors"))[0]
        with safe_open(file, "pt") as tensors:
            for name in sorted(tensors.keys())[::7]:
                values.append(tensors.get_tensor(name).flatten()[:1].float())
    return torch.cat(values)


def embeddings(pipe, prompt, negative):
    """Hidden states and pooled vectors of both prompts, without the leading axis."""
    found = pipe.encode_prompt(
        prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
        negative_prompt=negative,
    )
    names = ("prompt.hidden", "negative.hidden", "prompt.pooled", "negative.pooled")
    return {name: value[0] for name, value in zip(names, found)}


def unet_outputs(pipe, sample, text):
    """The network's answer for the prompt at each of TIMESTEPS, on unscaled noise."""
    side = float(sample.shape[-1] * pipe.vae_scale_factor)
    added = {}
    if "prompt.pooled" in text:
        # Not the identity in any of the six numbers, so that their order matters.
        ids = torch.tensor([[side * 2, side * 3, side / 4, side / 2, side, side + 8]])
        added = dict(added_cond_kwargs=dict(text_embeds=text["prompt.pooled"][None], time_ids=ids))
    return {
        f"unet.{timestep}": pipe.unet(
            sample, timestep, encoder_hidden_states=text["prompt.hidden"][None], **added
        ).sample
        for timestep in TIMESTEPS
    }


def run(pipe, name, scheduler, **noise):
    prompt, negative = RUNS[name]
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    return pipe(
        prompt, negative_prompt=negative, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        output_type="latent", **noise,
    ).images


def make_model(name, folder):
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    prompt, negative = RUNS[name]
    side = pipe.unet.config.sample_size
    latents = torch.randn(1, 4, side, side, generator=torch.Generator("cpu").manual_seed(1))
    text = embeddings(pipe, prompt, negative)
    golden = {"probe": probe(folder), "latents": latents}
    for suffix in ("", "_2"):
        tokenizer = getattr(pipe, "tokenizer" + suffix, None)
        if tokenizer is not None:
            ids = tokenizer(prompt, **PADDED).input_ids
            golden["ids" + suffix] = torch.tensor(ids, dtype=torch.float32)
    golden |= text
    golden |= unet_outputs(pipe, latents, text)
    picture = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    # Every second row and column: half a megabyte of nearly the same would test no more.
    golden["picture"] = picture[0, :, ::2, ::2]
    for scheduler, label in ((EulerDiscreteScheduler, "euler"), (DDIMScheduler, "ddim")):
        golden[f"run.{label}"] = run(pipe, name, scheduler, latents=latents.clone())
    generator = torch.Generator("cpu").manual_seed(SEED)
    golden["run.seed"] = run(pipe, name, EulerDiscreteScheduler, generator=generator)
    for key, value in golden.items():
        assert torch.isfinite(value).all(), f"{name}: {key} is not finite"
        print(f"  {key:16} {str(tuple(value.shape)):18} std {value.float().std():.4f}")
    golden = {key: value.float().contiguous() for key, value in golden.items()}
    path = HERE / f"{name}.safetensors"
    save_file(golden, path)
    path.chmod(0o644)


# ---- Tokenizer ----------------------------------------------------------------------------------


def learn_merges(text, count):
    """The `count` most frequent pairs, one after the other, as byte-level BPE is learnt."""
    words = Counter(tuple(word[:-1]) + (word[-1] + "</w>",) for word in text.split())
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, number in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += number
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = Counter({merge(word, best): number for word, number in words.items()})
    return merges


def merge(word, pair):
    result, position = [], 0
    while position < len(word):
        if tuple(word[position:position + 2]) == pair:
            result.append(pair[0] + pair[1])
            position += 2
        else:
            result.append(word[position])
            position += 1
    return tuple(result)


def byte_characters():
    """GPT-2's printable stand-in for each byte, those that stand for themselves first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def write_tokenizer(folder, merges, specials):
    folder.mkdir(parents=True, exist_ok=True)
    characters = byte_characters()
    tokens = characters + [c + "</w>" for c in characters] + [a + b for a, b in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = "".join(f"{a} {b}\n" for a, b in merges)
    (folder / "merges.txt").write_text("#version: 0.2\n" + lines)
    configuration = dict(tokenizer_class="CLIPTokenizer", model_max_length=77, **specials)
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=1))


def special_tokens(padding, normalized):
    """As texts, or as the objects that SDXL's files have, which are looked for in lower case."""
    def token(content):
        if not normalized:
            return content
        flags = dict(lstrip=False, normalized=True, rstrip=False, single_word=False)
        return {"__type": "AddedToken", "content": content, **flags}
    end = token("<|endoftext|>")
    return dict(bos_token=token("<|startoftext|>"), eos_token=end, unk_token=end, pad_token=padding)


def make_tokenizer():
    merges = learn_merges(tricky_prompts.CORPUS, 160)
    variants = {
        "end": special_tokens("<|endoftext|>", normalized=False),
        "bang": special_tokens("!", normalized=False),
        "marks": special_tokens("!", normalized=True),
    }
    golden = []
    folder = HERE / "tokenizer"
    tokenizers = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, specials in variants.items():
            write_tokenizer(Path(scratch) / name, merges, specials)
            tokenizers[name] = CLIPTokenizer.from_pretrained(Path(scratch) / name)
        write_tokenizer(folder, merges, variants["end"])
        (folder / "tokenizer_config.json").unlink()
        for text in tricky_prompts.PROMPTS:
            entry = dict(text=text)
            for name, tokenizer in tokenizers.items():
                every = tokenizer(text).input_ids
                ids = tokenizer(text, **PADDED).input_ids
                cut = None
                if len(every) > 77:
                    cut = tokenizer.decode(every[76:-1])
                # Padding repeats: the number of ids before it says as much.
                while len(ids) > 1 and ids[-1] == tokenizer.pad_token_id == ids[-2]:
                    ids.pop()
                entry[name] = dict(ids=ids, cut=cut)
            golden.append(entry)
    document = dict(variants=variants, prompts=golden)
    (HERE / "tokenizer" / "golden.json").write_text(json.dumps(document, indent=0))
    print(f"  {len(golden)} prompts, {len(merges)} merges")


def added_token(content, **flags):
    """As `added_tokens_decoder` has it; by default as `load_textual_inversion` adds it."""
    usual = dict(lstrip=False, normalized=True, rstrip=False, single_word=False, special=False)
    return dict(content=content, **{**usual, **flags})


def make_added_tokens():
    """Tokens beyond the vocabulary, in each of the three ways that versions have written them."""
    own = json.loads((HERE / "tokenizer" / "vocab.json").read_text())
    raw = dict(normalized=False)
    tokens = [
        added_token("<cat>"), added_token("<cat>_1"), added_token("<cat>_2"),
        added_token("<Dog Style>", lstrip=True, rstrip=True, **raw),
        added_token("<Dog Style>_1", **raw), added_token("UPPER"),
        added_token("<sp>", special=True, **raw), added_token("<wide>", lstrip=True, rstrip=True),
        added_token("<wide>_1"), added_token("two words"),
    ]
    decoder = {str(len(own) + number): token for number, token in enumerate(tokens)}
    listed = {token["content"]: int(number) for number, token in decoder.items()}
    answers = [dict(text=text) for text in tricky_prompts.ADDED]
    with tempfile.TemporaryDirectory() as scratch:
        for name in ["decoder", "list", "saved"]:
            folder = Path(scratch) / name
            write_tokenizer(folder, [], special_tokens("<|endoftext|>", normalized=False))
            for file in ["vocab.json", "merges.txt"]:
                shutil.copy(HERE / "tokenizer" / file, folder)
            configuration = json.loads((folder / "tokenizer_config.json").read_text())
            if name == "list":
                (folder / "added_tokens.json").write_text(json.dumps(listed))
            else:
                configuration["added_tokens_decoder"] = decoder
                (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            if name == "saved":
                again = Path(scratch) / "again"
                tokenizer.save_pretrained(again)
                tokenizer = CLIPTokenizer.from_pretrained(again)
                golden = HERE / "tokenizer" / "saved" / "tokenizer.json"
                golden.parent.mkdir(exist_ok=True)
                shutil.copy(again / "tokenizer.json", golden)
            for answer in answers:
                text = answer["text"]
                expanded = TextualInversionLoaderMixin().maybe_convert_prompt(text, tokenizer)
                ids = tokenizer(text).input_ids[1:-1]
                answer[name] = dict(ids=ids, expanded=expanded)
    document = dict(decoder=decoder, list=listed, answers=answers)
    (HERE / "tokenizer" / "added.json").write_text(json.dumps(document, indent=0))
    print(f"  {len(answers)} prompts, {len(tokens)} tokens")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--tessera", help="the built program, for the tiny models")
    arguments.add_argument("--default", type=Path, default=DEFAULT_MODEL)
    arguments.add_argument("--only", choices=[*RUNS, "tokenizer", "added"])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    for name in [*RUNS, "tokenizer", "added"]:
        if options.only not in (None, name):
            continue
        print(name)
        if name == "tokenizer":
            make_tokenizer()
        elif name == "added":
            make_added_tokens()
        elif name == "default":
            make_model(name, options.default)
        else:
            if options.tessera is None:
                sys.exit("--tessera PATH is needed to synthesize the tiny models")
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / name
                command = [options.tessera, "synthesize", name, "--output", str(folder)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                make_model(name, folder)


if __name__ == "__main__":
    main()
