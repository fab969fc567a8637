"""The noise schedule and the pair (noisy latent, velocity) the UNet learns from."""
import torch

TIMESTEPS = 1000


def signal_shares(timesteps=TIMESTEPS, first=.00085, last=.012):
    """Cumulative alphas of scaled-linear betas, rescaled to zero terminal signal as diffusers does."""
    betas = torch.linspace(first ** .5, last ** .5, timesteps, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return (root ** 2).float()


def noisy_and_velocity(latent, noise, share):
    """share: cumulative alpha of each latent, shaped to broadcast"""
    signal, sigma = share.sqrt(), (1 - share).sqrt()
    return signal * latent + sigma * noise, signal * noise - sigma * latent


def stratified_timesteps(count, generator=None):
    """One timestep from each of count equal parts of the schedule."""
    places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (places * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)
