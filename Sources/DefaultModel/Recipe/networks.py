"""Twins of the four networks of StableDiffusionXLPipeline, in miniature and with torch alone.

Module names and shapes equal diffusers' UNet2DConditionModel and AutoencoderKL and transformers' CLIPTextModel and
CLIPTextModelWithProjection, so state_dict() is their file. check_parity.py holds them against the originals.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

UNET = dict(
    _class_name="UNet2DConditionModel", sample_size=16, in_channels=4, out_channels=4, center_input_sample=False,
    flip_sin_to_cos=True, freq_shift=0,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    mid_block_type="UNetMidBlock2DCrossAttn",
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[64, 96, 160], layers_per_block=1, downsample_padding=1, act_fn="silu",
    norm_num_groups=32, norm_eps=1e-5, cross_attention_dim=160, transformer_layers_per_block=[1, 1, 1],
    attention_head_dim=[2, 3, 5],           # the number of heads, as in SDXL's own file
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=32,
    projection_class_embeddings_input_dim=96 + 6 * 32)
AUTOENCODER = dict(
    _class_name="AutoencoderKL", in_channels=3, out_channels=3, latent_channels=4, sample_size=128,
    down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
    block_out_channels=[16, 32, 64, 64], layers_per_block=1, act_fn="silu", norm_num_groups=8, scaling_factor=1.0)
TEXT = dict(
    architectures=["CLIPTextModel"], model_type="clip_text_model", vocab_size=724, hidden_size=64, intermediate_size=256,
    num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu",
    layer_norm_eps=1e-5, projection_dim=64, bos_token_id=722, eos_token_id=723, pad_token_id=723)
TEXT_2 = dict(
    TEXT, architectures=["CLIPTextModelWithProjection"], hidden_size=96, intermediate_size=384, hidden_act="gelu",
    projection_dim=96, pad_token_id=0)


def attend(query, key, value):
    """softmax(q k^T / sqrt(dim)) v, written out: on a CPU the short sequences here train faster so."""
    weights = (query * query.shape[-1] ** -.5) @ key.transpose(-1, -2)
    return weights.softmax(-1).to(value.dtype) @ value


def split_heads(x, heads):
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def sinusoids(values, size):
    """Cosines, then sines, as diffusers' Timesteps with flip_sin_to_cos."""
    half = size // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=values.device, dtype=torch.float32) / half)
    angles = values.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], -1)


# ---------------------------------------------------------------- shared by UNet and autoencoder

class Resnet(nn.Module):
    def __init__(self, inputs, outputs, embedding, groups, epsilon):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inputs, epsilon), nn.Conv2d(inputs, outputs, 3, padding=1)
        if embedding:
            self.time_emb_proj = nn.Linear(embedding, outputs)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outputs, epsilon), nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, embedding=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if embedding is not None:
            h = h + self.time_emb_proj(F.silu(embedding))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x) + h


class Downsample(nn.Module):
    def __init__(self, channels, padding=1):
        super().__init__()
        self.padding, self.conv = padding, nn.Conv2d(channels, channels, 3, 2, padding)

    def forward(self, x):
        return self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2., mode="nearest"))


# ---------------------------------------------------------------- UNet

class TimeMLP(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(inputs, outputs), nn.Linear(outputs, outputs)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class Attention(nn.Module):
    """Attention over x itself, or over a context of another width."""

    def __init__(self, width, heads, context_width=None):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, False)
        self.to_k = nn.Linear(context_width or width, width, False)
        self.to_v = nn.Linear(context_width or width, width, False)
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Identity()])

    def forward(self, x, context=None):
        context = x if context is None else context
        query, key, value = (split_heads(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out[0](attend(query, key, value).transpose(1, 2).reshape(x.shape))


class GatedGELU(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleList([GatedGELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, context_width):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.attn2 = nn.LayerNorm(width), Attention(width, heads, context_width)
        self.norm3, self.ff = nn.LayerNorm(width), FeedForward(width)

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer2D(nn.Module):
    def __init__(self, width, heads, context_width, blocks, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, 1e-6)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, heads, context_width) for _ in range(blocks)])

    def forward(self, x, context):
        batch, channels, height, width = x.shape
        y = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for block in self.transformer_blocks:
            y = block(y, context)
        return x + self.proj_out(y).transpose(1, 2).reshape(batch, channels, height, width)


class UNetBlock(nn.Module):
    """Resnets, each followed by attention where heads are given, then a sampler; UNet.forward runs them."""

    def __init__(self, config, level, inputs, cross_attention, sampler):
        super().__init__()
        outputs = config["block_out_channels"][level]
        embedding, groups = config["block_out_channels"][0] * 4, config["norm_num_groups"]
        self.resnets = nn.ModuleList([Resnet(n, outputs, embedding, groups, config["norm_eps"]) for n in inputs])
        if cross_attention:
            self.attentions = nn.ModuleList([
                Transformer2D(outputs, config["attention_head_dim"][level], config["cross_attention_dim"],
                              config["transformer_layers_per_block"][level], groups) for _ in inputs])
        if sampler:
            name = "downsamplers" if sampler is Downsample else "upsamplers"
            setattr(self, name, nn.ModuleList([sampler(outputs)]))

    def layer(self, k, x, embedding, context):
        x = self.resnets[k](x, embedding)
        return self.attentions[k](x, context) if hasattr(self, "attentions") else x


class UNetMiddle(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, groups = config["block_out_channels"], config["norm_num_groups"]
        width = channels[-1]
        self.attentions = nn.ModuleList([Transformer2D(
            width, config["attention_head_dim"][-1], config["cross_attention_dim"],
            config["transformer_layers_per_block"][-1], groups)])
        self.resnets = nn.ModuleList([Resnet(width, width, channels[0] * 4, groups, config["norm_eps"]) for _ in range(2)])

    def forward(self, x, embedding, context):
        return self.resnets[1](self.attentions[0](self.resnets[0](x, embedding), context), embedding)


class UNet(nn.Module):
    def __init__(self, config=UNET):
        super().__init__()
        self.config = dict(config)
        channels, layers = config["block_out_channels"], config["layers_per_block"]
        levels, embedding = len(channels), channels[0] * 4
        crosses = lambda kind: kind.startswith("CrossAttn")
        self.conv_in = nn.Conv2d(config["in_channels"], channels[0], 3, padding=1)
        self.time_embedding = TimeMLP(channels[0], embedding)
        self.add_embedding = TimeMLP(config["projection_class_embeddings_input_dim"], embedding)
        self.down_blocks = nn.ModuleList()
        skips, width = [channels[0]], channels[0]
        for level, kind in enumerate(config["down_block_types"]):
            last = level == levels - 1
            inputs = [width] + [channels[level]] * (layers - 1)
            self.down_blocks.append(UNetBlock(config, level, inputs, crosses(kind), None if last else Downsample))
            width = channels[level]
            skips += [width] * (layers + (not last))
        self.mid_block = UNetMiddle(config)
        self.up_blocks = nn.ModuleList()
        for level, kind in zip(reversed(range(levels)), config["up_block_types"]):
            inputs = []
            for _ in range(layers + 1):
                inputs.append(width + skips.pop())
                width = channels[level]
            self.up_blocks.append(UNetBlock(config, level, inputs, crosses(kind), Upsample if level else None))
        self.conv_norm_out = nn.GroupNorm(config["norm_num_groups"], channels[0], config["norm_eps"])
        self.conv_out = nn.Conv2d(channels[0], config["out_channels"], 3, padding=1)

    def embed(self, x, timesteps, pooled, places):
        """Timestep, pooled text and the six numbers of SDXL's size and crop conditioning as one vector."""
        numbers = sinusoids(places.flatten(), self.config["addition_time_embed_dim"]).view(len(x), -1)
        time = self.time_embedding(sinusoids(timesteps, self.config["block_out_channels"][0]).to(x.dtype))
        return time + self.add_embedding(torch.cat([pooled, numbers.to(x.dtype)], -1))

    def forward(self, x, timesteps, context, pooled, places):
        """x [n,4,h,w], timesteps [n], context [n,77,c], pooled [n,p], places [n,6]: whole h, w, crop top, left, target h, w"""
        embedding = self.embed(x, timesteps, pooled, places)
        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            for k in range(len(block.resnets)):
                x = block.layer(k, x, embedding, context)
                skips.append(x)
            if hasattr(block, "downsamplers"):
                x = block.downsamplers[0](x)
                skips.append(x)
        x = self.mid_block(x, embedding, context)
        for block in self.up_blocks:
            for k in range(len(block.resnets)):
                x = block.layer(k, torch.cat([x, skips.pop()], 1), embedding, context)
            if hasattr(block, "upsamplers"):
                x = block.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


# ---------------------------------------------------------------- autoencoder

class PixelAttention(nn.Module):
    """One head over all places of the smallest grid."""

    def __init__(self, channels, groups):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, 1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels), nn.Identity()])

    def forward(self, x):
        y = self.group_norm(x).flatten(2).transpose(1, 2)
        query, key, value = (layer(y)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        y = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return x + self.to_out[0](y).transpose(1, 2).reshape(x.shape)


class AutoencoderBlock(nn.Module):
    def __init__(self, inputs, outputs, layers, groups, sampler):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(outputs if k else inputs, outputs, 0, groups, 1e-6) for k in range(layers)])
        if sampler == "down":
            self.downsamplers = nn.ModuleList([Downsample(outputs, 0)])
        elif sampler == "up":
            self.upsamplers = nn.ModuleList([Upsample(outputs)])

    def forward(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        for sampler in (*getattr(self, "downsamplers", ()), *getattr(self, "upsamplers", ())):
            x = sampler(x)
        return x


class AutoencoderMiddle(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.attentions = nn.ModuleList([PixelAttention(channels, groups)])
        self.resnets = nn.ModuleList([Resnet(channels, channels, 0, groups, 1e-6) for _ in range(2)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, groups = config["block_out_channels"], config["norm_num_groups"]
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList([
            AutoencoderBlock(channels[max(k - 1, 0)], outputs, config["layers_per_block"], groups,
                             "down" if k < len(channels) - 1 else None) for k, outputs in enumerate(channels)])
        self.mid_block = AutoencoderMiddle(channels[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], 1e-6)
        self.conv_out = nn.Conv2d(channels[-1], 2 * config["latent_channels"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, groups = config["block_out_channels"][::-1], config["norm_num_groups"]
        self.conv_in = nn.Conv2d(config["latent_channels"], channels[0], 3, padding=1)
        self.up_blocks = nn.ModuleList([
            AutoencoderBlock(channels[max(k - 1, 0)], outputs, config["layers_per_block"] + 1, groups,
                             "up" if k < len(channels) - 1 else None) for k, outputs in enumerate(channels)])
        self.mid_block = AutoencoderMiddle(channels[0], groups)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], 1e-6)
        self.conv_out = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VAE(nn.Module):
    def __init__(self, config=AUTOENCODER):
        super().__init__()
        latent = config["latent_channels"]
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1), nn.Conv2d(latent, latent, 1)

    def encode(self, x):
        """-> mean and log-variance of the latent"""
        return self.quant_conv(self.encoder(x)).chunk(2, 1)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


# ---------------------------------------------------------------- text encoders

class TextAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.q_proj, self.k_proj, self.v_proj))
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(x.shape))


class TextLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.self_attn = TextAttention(width, config["num_attention_heads"])
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = quick_gelu if config["hidden_act"] == "quick_gelu" else F.gelu

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp.fc2(self.activation(self.mlp.fc1(self.layer_norm2(x))))


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


class TextModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.embeddings, self.encoder = nn.Module(), nn.Module()
        self.embeddings.token_embedding = nn.Embedding(config["vocab_size"], width)
        self.embeddings.position_embedding = nn.Embedding(config["max_position_embeddings"], width)
        self.encoder.layers = nn.ModuleList([TextLayer(config) for _ in range(config["num_hidden_layers"])])
        self.final_layer_norm = nn.LayerNorm(width)
        nn.init.normal_(self.embeddings.token_embedding.weight, std=.02)
        nn.init.normal_(self.embeddings.position_embedding.weight, std=.01)

    def forward(self, tokens):
        """-> states before the last layer, states after it"""
        x = self.embeddings.token_embedding(tokens) + self.embeddings.position_embedding.weight[:tokens.shape[1]]
        for layer in self.encoder.layers:
            before, x = x, layer(x)
        return before, x


class ClipText(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = dict(config)
        self.text_model = TextModel(config)
        if "WithProjection" in config["architectures"][0]:
            self.text_projection = nn.Linear(config["hidden_size"], config["projection_dim"], bias=False)

    def forward(self, tokens):
        """-> states before the last layer, projected state of the end token (None without projection)"""
        before, last = self.text_model(tokens)
        if not hasattr(self, "text_projection"):
            return before, None
        end = (tokens == self.config["eos_token_id"]).int().argmax(1)
        return before, self.text_projection(self.text_model.final_layer_norm(last[torch.arange(len(tokens)), end]))


class TextPair(nn.Module):
    """SDXL's prompt encoding: both encoders' states side by side, the pooled state of the second."""

    def __init__(self, config=TEXT, config_2=TEXT_2):
        super().__init__()
        self.one, self.two = ClipText(config), ClipText(config_2)

    @classmethod
    def of(cls, one, two):
        pair = cls(one.config, two.config)
        pair.one, pair.two = one, two
        return pair.requires_grad_(False)

    def forward(self, tokens, tokens_2):
        states, _ = self.one(tokens)
        states_2, pooled = self.two(tokens_2)
        return torch.cat([states, states_2], -1), pooled
