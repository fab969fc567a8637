"""The networks of a model folder as torch modules.

Arguments are named as the tensors of an inputs file; what is returned is a tuple whose first is
the tensor `output`.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file


class UNet(torch.nn.Module):
    """The noise in (N, C, h, w) at one timestep; `pooled` and `time_ids` are SDXL's alone."""

    inputs = ("sample", "timestep", "hidden_states", "pooled", "time_ids")

    def __init__(self, folder: Path):
        super().__init__()
        from diffusers import UNet2DConditionModel

        self.network = UNet2DConditionModel.from_pretrained(
            folder / "unet", torch_dtype=torch.float32)

    def forward(self, sample, timestep, hidden_states, pooled=None, time_ids=None):
        added = None if pooled is None else {"text_embeds": pooled, "time_ids": time_ids}
        return self.network(sample, timestep, encoder_hidden_states=hidden_states,
                            added_cond_kwargs=added, return_dict=False)


class VAEDecoder(torch.nn.Module):
    """The pixels (1, 3, 8h, 8w) of a latent (1, C, h, w), already divided by the scaling factor."""

    inputs = ("latent",)

    def __init__(self, folder: Path):
        super().__init__()
        from diffusers import AutoencoderKL

        self.network = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
        self.network.encoder = None

    def forward(self, latent):
        return self.network.decode(latent, return_dict=False)


class TextEncoders(torch.nn.Module):
    """SDXL's hidden states (1, tokens, width), both encoders side by side, and the pooled text."""

    inputs = ("tokens", "tokens_2")

    def __init__(self, folder: Path):
        super().__init__()
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        self.first = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.second = CLIPTextModelWithProjection.from_pretrained(
            folder / "text_encoder_2", dtype=torch.float32)

    def forward(self, tokens, tokens_2):
        first = self.first(tokens.long(), output_hidden_states=True)
        second = self.second(tokens_2.long(), output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return states, second.text_embeds


NETWORKS = {"unet": UNet, "vae": VAEDecoder, "text": TextEncoders}


def load_network(kind: str, folder: Path) -> torch.nn.Module:
    """The network ready for inference, in float32 whatever its weights are stored in."""
    return NETWORKS[kind](folder).eval().requires_grad_(False)


def read_inputs(kind: str, file: Path) -> dict[str, torch.Tensor]:
    """The network's inputs, in the order of its arguments."""
    tensors = load_file(file)
    if "pooled" not in tensors:  # Stable Diffusion 1.5 knows no sizes either.
        tensors.pop("time_ids", None)
    return {name: tensors[name] for name in NETWORKS[kind].inputs if name in tensors}
