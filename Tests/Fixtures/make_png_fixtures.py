#!/usr/bin/env python3
"""Writes pictures.json beside this script, with nothing but Python.

    python make_png_fixtures.py

PNGs of every kind, 7×5, made by the encoder below (PNG specification, third edition) and not by
libpng: each with its name, its bytes in base64 and the RGB values in 0 … 1 that they stand for,
channel by channel, transparency over white.
"""

import base64
import json
import random
import struct
import zlib
from pathlib import Path

WIDTH, HEIGHT = 7, 5
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
# First column and row of each of Adam7's passes, and the steps from one to the next.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name, data):
    body = name.encode() + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def packed(samples, depth):
    """One row's samples as bytes."""
    if depth == 16:
        return b"".join(struct.pack(">H", sample) for sample in samples)
    if depth == 8:
        return bytes(samples)
    bits = "".join(format(sample, f"0{depth}b") for sample in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def paeth(a, b, c):
    p = a + b - c
    distances = (abs(p - a), abs(p - b), abs(p - c))
    return (a, b, c)[distances.index(min(distances))]


def filtered(rows, size):
    """Rows with their filters, all five in turn; `size` bytes are a pixel, at least one."""
    result, above = b"", None
    for number, row in enumerate(rows):
        kind = number % 5
        above = above or bytes(len(row))
        line = bytearray()
        for i, value in enumerate(row):
            a = row[i - size] if i >= size else 0
            c = above[i - size] if i >= size else 0
            guess = (0, a, above[i], (a + above[i]) // 2, paeth(a, above[i], c))[kind]
            line.append((value - guess) % 256)
        result += bytes([kind]) + bytes(line)
        above = row
    return result


def image_data(pixels, kind, depth, interlaced):
    size = max(1, CHANNELS[kind] * depth // 8)

    def lines(columns, rows):
        return [packed([s for x in columns for s in pixels[y][x]], depth) for y in rows]

    if not interlaced:
        return filtered(lines(range(WIDTH), range(HEIGHT)), size)
    data = b""
    for x, y, dx, dy in PASSES:
        columns, rows = range(x, WIDTH, dx), range(y, HEIGHT, dy)
        if columns and rows:
            data += filtered(lines(columns, rows), size)
    return data


def png(pixels, kind, depth, interlaced, extra):
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, int(interlaced))
    data = zlib.compress(image_data(pixels, kind, depth, interlaced))
    half = len(data) // 2
    return b"\x89PNG\r\n\x1a\n" + b"".join([
        chunk("IHDR", header), chunk("gAMA", struct.pack(">I", 100000)),
        *[chunk(name, content) for name, content in extra],
        chunk("tEXt", b"Comment\0nobody reads this"),
        chunk("IDAT", data[:half]), chunk("IDAT", data[half:]), chunk("IEND", b""),
    ])


def picture(kind, depth, transparent, interlaced):
    most = (1 << depth) - 1
    count = CHANNELS[kind]
    pixels = [[[random.randint(0, most) for _ in range(count)] for _ in range(WIDTH)] for _ in range(HEIGHT)]
    extra, palette, alphas, key = [], [], [], None
    if kind == PALETTE:
        palette = [[random.randint(0, 255) for _ in range(3)] for _ in range(most + 1)]
        extra.append(("PLTE", bytes(v for entry in palette for v in entry)))
        if transparent:
            # Shorter than the palette: the rest is opaque.
            alphas = [random.randint(0, 255) for _ in range(most // 2 + 1)]
            extra.append(("tRNS", bytes(alphas)))
    elif transparent:
        key = pixels[2][3]
        extra.append(("tRNS", b"".join(struct.pack(">H", v) for v in key)))
    values = [[], [], []]
    for row in pixels:
        for pixel in row:
            alpha = 1.0
            if kind == PALETTE:
                colour = [v / 255 for v in palette[pixel[0]]]
                if pixel[0] < len(alphas):
                    alpha = alphas[pixel[0]] / 255
            else:
                scaled = [v / most for v in pixel]
                colour = scaled[:3] if count >= 3 else scaled[:1] * 3
                if count in (2, 4):
                    alpha = scaled[-1]
                elif pixel == key:
                    alpha = 0.0
            for channel in range(3):
                values[channel].append(round(colour[channel] * alpha + 1 - alpha, 6))
    return png(pixels, kind, depth, interlaced, extra), sum(values, [])


def main():
    random.seed(7)
    kinds = [
        ("grey", GREY, (1, 2, 4, 8, 16), (False, True)), ("grey-alpha", GREY_ALPHA, (8, 16), (False,)),
        ("palette", PALETTE, (1, 2, 4, 8), (False, True)), ("rgb", RGB, (8, 16), (False, True)),
        ("rgba", RGBA, (8, 16), (False,)),
    ]
    golden = []
    for name, kind, depths, transparencies in kinds:
        for depth in depths:
            for transparent in transparencies:
                for interlaced in (False, True):
                    data, values = picture(kind, depth, transparent, interlaced)
                    label = f"{name} {depth}" + " tRNS" * transparent + " interlaced" * interlaced
                    golden.append(dict(name=label, png=base64.b64encode(data).decode(), values=values))
    path = Path(__file__).resolve().parent / "pictures.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in golden) + "\n]\n")


if __name__ == "__main__":
    main()
