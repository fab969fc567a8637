"""Write the model folder: python export.py WORK FOLDER (StableDiffusionXLPipeline's layout, 16-bit safetensors).

FOLDER is replaced at once, after everything is written beside it. The decoder is a blend of WORK/vae.pt (true but soft)
and, if there is one, WORK/vae_sharp.pt (train_decoder.py).
"""
import json
import os
import shutil
import struct
import sys

import torch

import networks
from tokenizer import Tokenizer

SCHEDULER = dict(
    _class_name="DDIMScheduler", num_train_timesteps=1000, beta_start=.00085, beta_end=.012,
    beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True, steps_offset=1,
    prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
INDEX = dict(
    _class_name="StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True, add_watermarker=False,
    unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"],
    text_encoder=["transformers", "CLIPTextModel"], text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
    tokenizer=["transformers", "CLIPTokenizer"], tokenizer_2=["transformers", "CLIPTokenizer"],
    scheduler=["diffusers", "DDIMScheduler"], image_encoder=[None, None], feature_extractor=[None, None])
TEXT_EXTRAS = dict(dropout=0.0, attention_dropout=0.0, initializer_factor=1.0, initializer_range=.02, torch_dtype="float16")


SHARPNESS = .65                         # share of the sharp decoder


def write_json(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def write_safetensors(path, tensors):
    """Eight bytes of header length, a JSON header, then the raw 16-bit numbers."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        blob = tensors[name].detach().half().contiguous().numpy().tobytes()
        header[name] = dict(dtype="F16", shape=list(tensors[name].shape), data_offsets=[offset, offset + len(blob)])
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def write_tokenizer(folder, tokenizer, padding):
    tokenizer.save(folder)
    special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=padding)
    write_json(folder + "/special_tokens_map.json", special)
    write_json(folder + "/tokenizer_config.json",
               dict(tokenizer_class="CLIPTokenizer", model_max_length=77, do_lower_case=True, **special))


def blended_autoencoder(work):
    vae = torch.load(work + "/vae.pt")
    if os.path.exists(work + "/vae_sharp.pt"):
        sharp = torch.load(work + "/vae_sharp.pt")["model"]
        vae["model"] = {name: torch.lerp(value, sharp[name], SHARPNESS) for name, value in vae["model"].items()}
    return vae


def export(work, folder):
    unet, vae = torch.load(work + "/unet.pt"), blended_autoencoder(work)
    unet_config, text_config, text_config_2 = unet["configs"]
    part = lambda prefix: {k[len(prefix):]: v for k, v in unet["model"].items() if k.startswith(prefix)}
    fresh = folder.rstrip("/") + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    write_safetensors(fresh + "/unet/diffusion_pytorch_model.safetensors", part("unet."))
    write_json(fresh + "/unet/config.json", unet_config)
    write_safetensors(fresh + "/vae/diffusion_pytorch_model.safetensors", vae["model"])
    write_json(fresh + "/vae/config.json", dict(networks.AUTOENCODER, scaling_factor=vae["scale"], force_upcast=False))
    tokenizer = Tokenizer.load(work + "/tokenizer")
    for suffix, config, prefix, padding in (("", text_config, "text.one.", "<|endoftext|>"), ("_2", text_config_2, "text.two.", "!")):
        write_safetensors(f"{fresh}/text_encoder{suffix}/model.safetensors", part(prefix))
        write_json(f"{fresh}/text_encoder{suffix}/config.json", dict(config, **TEXT_EXTRAS))
        write_tokenizer(f"{fresh}/tokenizer{suffix}", tokenizer, padding)
    write_json(fresh + "/scheduler/scheduler_config.json", SCHEDULER)
    write_json(fresh + "/model_index.json", INDEX)
    replace_folder(fresh, folder.rstrip("/"))
    size = sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)
    print("written", folder, "%.1f MB," % (size / 1e6), unet["seen"], "samples seen")


def replace_folder(fresh, folder):
    old = folder + ".old"
    shutil.rmtree(old, ignore_errors=True)
    if os.path.exists(folder):
        os.rename(folder, old)
    os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
