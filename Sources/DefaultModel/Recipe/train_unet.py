"""Train both text encoders and the UNet: python train_unet.py WORK --until HH:MM [--from-model FOLDER]

Velocity loss, stratified timesteps, one caption in ten replaced by zeros (the pipeline's empty prompt), exponential
moving average of the weights. Resumes from WORK/unet_state.pt; without one it starts from nothing, or from the
weights of a model folder. WORK/unet.pt always holds the latest average.
"""
import argparse
import time

import torch
import torch.nn.functional as F

import networks
import parallel
from dataset import NATIVE
from diffusion import noisy_and_velocity, signal_shares, stratified_timesteps
from muon import MuonAdamW
from sample import read_safetensors
from tokenizer import Tokenizer
from training import Deadline, load_if_there, rate_factor, save

BATCH = 24                              # per process
LEARNING_RATE, FLAT = 1.5e-3, .65
AVERAGE_DECAY = .999
EMPTY_SHARE = .1
SAVE_EVERY = 200                        # seconds


class Denoiser(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        special = dict(vocab_size=vocabulary, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1)
        self.text = networks.TextPair(dict(networks.TEXT, pad_token_id=vocabulary - 1, **special), dict(networks.TEXT_2, **special))
        self.unet = networks.UNet()
        torch.nn.init.zeros_(self.unet.conv_out.weight)
        torch.nn.init.zeros_(self.unet.conv_out.bias)

    def configs(self):
        return self.unet.config, self.text.one.config, self.text.two.config

    def learnable(self):
        """Everything but the first encoder's last layer and final norm: SDXL reads the layer before, no loss reaches them."""
        idle = ("text.one.text_model.encoder.layers.1.", "text.one.text_model.final_layer_norm.")
        return [(name, p) for name, p in self.named_parameters() if not name.startswith(idle)]

    def load_folder(self, folder):
        self.unet.load_state_dict(read_safetensors(folder + "/unet/diffusion_pytorch_model.safetensors"))
        self.text.one.load_state_dict(read_safetensors(folder + "/text_encoder/model.safetensors"))
        self.text.two.load_state_dict(read_safetensors(folder + "/text_encoder_2/model.safetensors"))


def is_matrix(name, parameter):
    return parameter.ndim >= 2 and not any(word in name for word in ("conv_in", "conv_out", "embeddings"))


class Batches:
    """Random latents, mirrored half of the time, each with one of its captions and its place in the whole picture."""

    def __init__(self, data, end):
        self.latents, self.places, self.tokens, self.end = data["latents"], data["place"], data["tokens"], end

    def draw(self, size):
        chosen, mirrored = torch.randint(len(self.latents), (size,)), torch.randint(2, (size,))
        tokens = self.tokens[chosen, torch.randint(self.tokens.shape[1], (size,))].long()
        whole, top, left = self.places[chosen].unbind(1)
        left = torch.where(mirrored == 1, whole - NATIVE - left, left)
        native = torch.full_like(whole, NATIVE)
        places = torch.stack([whole, whole, top, left, native, native], 1)
        return self.latents[chosen, mirrored].float(), (self.pad_with_end(tokens), tokens), places

    def pad_with_end(self, tokens):
        """The second encoder's padding is token 0, the first one's the end token."""
        is_end = (tokens == self.end).int()
        return torch.where(is_end.cumsum(1) > is_end, self.end, tokens)


def loss_of(net, latents, tokens, places, shares):
    size = len(latents)
    timesteps = stratified_timesteps(size)
    noisy, velocity = noisy_and_velocity(latents, torch.randn_like(latents), shares[timesteps].view(-1, 1, 1, 1))
    with torch.autocast("cpu", torch.bfloat16):
        context, pooled = net.text(*tokens)
        keep = (torch.rand(size) > EMPTY_SHARE).float()
        out = net.unet(noisy, timesteps, context * keep[:, None, None], pooled * keep[:, None], places)
    return F.mse_loss(out.float(), velocity)


class Run:
    """Weights, their average, the optimizer and the counts: all that a later run needs to go on."""

    def __init__(self, options):
        torch.manual_seed(1)
        tokenizer = Tokenizer.load(options.work + "/tokenizer")
        self.path, self.model_path = options.work + "/unet_state.pt", options.work + "/unet.pt"
        self.net, self.average = Denoiser(len(tokenizer.vocab)), Denoiser(len(tokenizer.vocab)).requires_grad_(False)
        state = load_if_there(self.path)
        if options.from_model and not state:
            self.net.load_folder(options.from_model)
        self.average.load_state_dict(self.net.state_dict())
        if state:
            self.net.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
        self.pool = parallel.GradientPool(p for _, p in self.net.learnable())
        self.optimizer = MuonAdamW(self.net.learnable(), is_matrix, options.rate)
        self.step, self.seen = (state["step"], state["seen"]) if state else (0, 0)
        if state:
            self.optimizer.load_state_dict(state["optimizer"])

    @torch.no_grad()
    def follow(self):
        decay = min(AVERAGE_DECAY, self.step / (self.step + 50))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)

    def save(self, scale):
        average = self.average.state_dict()
        save(self.model_path, configs=self.average.configs(), model={k: v.half() for k, v in average.items()}, scale=scale, seen=self.seen)
        save(self.path, model=self.net.state_dict(), average=average, optimizer=self.optimizer.state_dict(), step=self.step, seen=self.seen)


def train(rank, processes, options):
    run, data = Run(options), torch.load(options.work + "/latents.pt")
    batches, shares = Batches(data, run.net.text.one.config["eos_token_id"]), signal_shares()
    torch.manual_seed(run.step * processes + rank)
    deadline, progress, saved, recent, seen_before = Deadline(options.until), 0., time.time(), [], run.seen
    while progress < 1:
        loss = loss_of(run.net, *batches.draw(BATCH), shares)
        run.pool.zero()
        loss.backward()
        progress = run.pool.average(deadline.progress())
        run.optimizer.step(rate_factor(run.step, progress, options.flat))
        run.step += 1
        run.seen += BATCH * processes
        if rank:
            continue
        run.follow()
        recent.append(loss.item())
        if run.step % 100 == 0:
            speed = (run.seen - seen_before) / deadline.passed()
            print("step %d  seen %d  %.0f s  loss %.4f  (%.0f samples/s)" % (
                run.step, run.seen, deadline.passed(), sum(recent) / len(recent), speed), flush=True)
            recent = []
        if time.time() - saved > SAVE_EVERY or progress >= 1:
            saved = time.time()
            run.save(data["scale"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--until", required=True)
    parser.add_argument("--from-model")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--flat", type=float, default=FLAT, help="share of the time at the full learning rate")
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    options = parser.parse_args()
    parallel.launch(train, options.processes, options)
