"""PNG files and contact sheets with numpy and zlib alone: 8-bit RGB or RGBA, not interlaced."""
import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}                 # colour type -> channels


def save(path, image):
    height, width, _ = image.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), np.ascontiguousarray(image).reshape(height, width * 3)], 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b""))


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def load(path):
    """uint8 [height, width, 3]; an alpha channel is dropped."""
    with open(path, "rb") as file:
        content = file.read()
    if content[:8] != SIGNATURE:
        raise ValueError(f"{path} is not a PNG file")
    header, packed, place = None, b"", 8
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place:place + 8])
        data = content[place + 8:place + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", data)
        elif kind == b"IDAT":
            packed += data
        place += 12 + length
    width, height, depth, colour, _, _, interlaced = header
    if depth != 8 or colour not in CHANNELS or interlaced:
        raise ValueError(f"{path}: only 8-bit RGB or RGBA without interlacing is read")
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    return _unfilter(lines, CHANNELS[colour]).reshape(height, width, -1)[..., :3].copy()


def _unfilter(lines, step):
    """Undo PNG's line filters: each byte was stored as a difference from its neighbours."""
    width = lines.shape[1] - 1
    above, out = np.zeros(width, np.int32), np.empty((len(lines), width), np.uint8)
    for row, line in enumerate(lines):
        kind, values = line[0], line[1:].astype(np.int32)
        if kind == 1:
            values = np.cumsum(values.reshape(-1, step), 0).ravel() & 255
        elif kind == 2:
            values = (values + above) & 255
        elif kind in (3, 4):
            values = _unfilter_slowly(values, above, step, kind)
        out[row] = above = values
    return out


def _unfilter_slowly(values, above, step, kind):
    out = [0] * len(values)
    values, above = values.tolist(), above.tolist()
    for k, value in enumerate(values):
        left = out[k - step] if k >= step else 0
        corner = above[k - step] if k >= step else 0
        guess = (left + above[k]) >> 1 if kind == 3 else _paeth(left, above[k], corner)
        out[k] = (value + guess) & 255
    return np.array(out, np.int32)


def _paeth(left, up, corner):
    guess = left + up - corner
    distances = abs(guess - left), abs(guess - up), abs(guess - corner)
    return (left, up, corner)[distances.index(min(distances))]


def sheet(images, columns, gap=4):
    """Equal pictures side by side on white."""
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    out = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        top, left = row * (height + gap), column * (width + gap)
        out[top:top + height, left:left + width] = image
    return out
