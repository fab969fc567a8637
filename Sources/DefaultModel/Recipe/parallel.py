"""Data-parallel training on a few CPU cores: one-thread processes that average their gradients.

Torch with several OpenMP threads stalls at its barriers whenever another program wants a core;
one-thread processes that meet once per step do not.
"""
import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def launch(work, processes, *args):
    """Run work(rank, processes, *args) in that many one-thread processes."""
    handle, meeting_place = tempfile.mkstemp()
    os.close(handle)
    os.unlink(meeting_place)
    mp.spawn(_start, (processes, meeting_place, work, args), nprocs=processes)


def _start(rank, processes, meeting_place, work, args):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group("gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=processes)
    work(rank, processes, *args)
    dist.destroy_process_group()


class GradientPool:
    """All gradients as views of one flat buffer, with one more place for a number to be averaged."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters) + 1)
        start = 0
        for p in self.parameters:
            p.grad = self.flat[start:start + p.numel()].view_as(p)
            start += p.numel()

    def zero(self):
        self.flat.zero_()

    def average(self, number):
        """Average the gradients over all processes, clip their norm to 1, return the averaged number."""
        self.flat[-1] = number
        dist.all_reduce(self.flat)
        self.flat /= dist.get_world_size()
        gradients = self.flat[:-1]
        gradients *= torch.clamp(1 / (gradients.norm() + 1e-6), max=1)
        return self.flat[-1].item()
