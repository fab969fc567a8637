"""Periodic value noise in octaves: a function of continuous coordinates, so any crop at any zoom agrees with the whole."""
import numpy as np

LATTICE = 64        # cells after which a lattice repeats
OCTAVES = 12        # lattices per scene


def lerp(a, b, t):
    return a + (b - a) * t


def smoothstep(low, high, x):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Noise:
    """Values in 0..1. grid(): on a separable grid; fan(): every row has its own x coordinates."""

    def __init__(self, rng, octaves=OCTAVES):
        self.lattices = rng.random((octaves, LATTICE, LATTICE), dtype=np.float32)
        self.offsets = rng.random((octaves, 2)) * LATTICE

    def _rows(self, octave, y):
        """The lattice interpolated at each y: one row of LATTICE values per y."""
        y = y + self.offsets[octave, 1]
        cell = np.floor(y)
        weight = _ease((y - cell).astype(np.float32))[:, None]
        index = cell.astype(np.int64) % LATTICE
        lattice = self.lattices[octave]
        here = lattice[index]
        return here + (lattice[(index + 1) % LATTICE] - here) * weight

    def grid(self, octave, x, y):
        rows = self._rows(octave, y)
        x = x + self.offsets[octave, 0]
        cell = np.floor(x)
        weight = _ease((x - cell).astype(np.float32))
        index = cell.astype(np.int64) % LATTICE
        here = np.take(rows, index, axis=1)
        return here + (np.take(rows, (index + 1) % LATTICE, axis=1) - here) * weight

    def fan(self, octave, x, y):
        """x [rows, columns], y [rows]"""
        rows = self._rows(octave, y)
        rows = np.concatenate([rows, rows[:, :1]], 1)
        x = x + np.float32(self.offsets[octave, 0])
        cell = np.floor(x)
        weight = _ease(x - cell)
        index = cell.astype(np.int32) % LATTICE
        index += (np.arange(len(y), dtype=np.int32) * (LATTICE + 1))[:, None]
        flat = rows.ravel()
        here = flat.take(index)
        return here + (flat.take(index + 1) - here) * weight

    def fractal(self, x, y, pixel, octaves, first=0, gain=0.5):
        """Sum of octaves on a separable grid, about -1..1; an octave finer than two pixels fades out."""
        total, amplitude, frequency, norm = np.zeros((len(y), len(x)), np.float32), 1.0, 1.0, 0.0
        for k in range(octaves):
            visible = float(np.clip(2 - 2 * frequency * pixel, 0, 1))
            if visible > 0:
                octave = self.grid((first + k) % OCTAVES, x * frequency, y * frequency)
                total += np.float32(amplitude * visible) * (octave - np.float32(0.5))
            norm += amplitude * 0.5
            amplitude *= gain
            frequency *= 2.03
        return total / np.float32(norm)


def _ease(t):
    return t * t * (3 - 2 * t)
