"""What the three trainings share: the wall-clock schedule, picture losses, files."""
import datetime
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

WARM_UP_STEPS = 100


class Deadline:
    """Training ends at a time of day: progress() runs from 0 to 1, so the schedule holds however busy the machine is."""

    def __init__(self, clock):
        now = datetime.datetime.now()
        hour, minute = map(int, clock.split(":"))
        self.begin = time.time()
        self.seconds = (now.replace(hour=hour, minute=minute, second=0) - now).total_seconds()

    def passed(self):
        return time.time() - self.begin

    def progress(self):
        return self.passed() / self.seconds


def rate_factor(step, progress, flat):
    """Learning rate: a short warm-up, constant for the flat share of the time, then linear to (almost) nothing."""
    return min(1, (step + 1) / WARM_UP_STEPS) * min(1, max(.01, (1 - progress) / (1 - flat)))


def save(path, **content):
    """Whole or not at all, so a reader never sees half a file."""
    torch.save(content, path + ".new")
    os.replace(path + ".new", path)


def load_if_there(path):
    return torch.load(path) if os.path.exists(path) else None


def to_tensor(pictures):
    """uint8 [n, h, w, 3] -> floats in -1..1 [n, 3, h, w]"""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def differences(x):
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def picture_losses(y, x):
    """-> L1 on pixels; L1 on pixels, on their differences and on 4x4 means"""
    pixels = (y - x).abs().mean()
    edges = sum((a - b).abs().mean() for a, b in zip(differences(y), differences(x)))
    blocks = (F.avg_pool2d(y, 4) - F.avg_pool2d(x, 4)).abs().mean()
    return pixels, pixels + .5 * edges + .5 * blocks
