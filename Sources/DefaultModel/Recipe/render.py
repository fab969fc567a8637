"""Pixels of a scene: render(scene, size, view). Only numpy.

Every field is a function of scene coordinates with octaves added up to the pixel grid's limit, so a
crop at four times the zoom is the same picture with more detail. Colours are floats in 0..1 until the end.
"""
from dataclasses import dataclass

import numpy as np

from noise import OCTAVES, Noise, lerp, smoothstep
from palette import DAY_SUN, DISC_COLOURS, MOON, MOONLIGHT, SNOW, fir_colour, land_of, palette_of, rgb
from scenes import NO_SNOW

f32 = np.float32
CLOUD_THRESHOLD = {"few clouds": .24, "cloudy": -.06, "overcast": -.55}
STARS = {"night": 260, "dusk": 70}
FARTHEST = 42.                      # depth of the last slice of terrain
RANGE_DEPTH = 30.                   # where the mountains stand


def render(scene, size, view=(0., 0., 1., 1.), width=None):
    """uint8 [size, width, 3]; view: x0, y0, x1, y1 in fractions of the whole picture."""
    left, top, right, bottom = view
    pixel = (bottom - top) / size
    width = width or int(round((right - left) * scene.aspect / pixel))
    whole_rows, first_row = int(round(1 / pixel)), int(round(top / pixel))
    rows = first_row + size                                     # rows below the crop never matter
    x = left * scene.aspect + (np.arange(width) + .5) * pixel
    y = ((np.arange(whole_rows) + .5) * pixel)[:rows]
    noise, palette = Noise(np.random.default_rng(scene.noise_seed)), palette_of(scene)

    sky_rows = min(rows, int(np.ceil((scene.horizon + .02) / pixel)))
    sky = paint_sky(scene, noise, palette, x, y[:sky_rows], pixel)
    terrain = build_terrain(scene, noise, palette, x, whole_rows, pixel)
    image, water, coverage = project(terrain, y[0], rows, pixel)
    image[:sky_rows] = sky + coverage[:sky_rows, :, None] * (image[:sky_rows] - sky)
    if scene.lake and water.any():
        paint_lake(scene, noise, palette, image, water, x, y, pixel)
    for fir in scene.firs:
        paint_fir(scene, fir, palette, image, x, y, pixel)
    return (np.clip(image[first_row:], 0, 1) * 255 + .5).astype(np.uint8)


def sky_and_disc(scene, size):
    """What a counter should find in the whole picture: masks [size, size] of the sky and of the visible disc, 0..1."""
    pixel = 1 / size
    centres = (np.arange(size) + .5) * pixel
    noise, palette = Noise(np.random.default_rng(scene.noise_seed)), palette_of(scene)
    terrain = build_terrain(scene, noise, palette, centres, size, pixel)
    _, _, coverage = project(terrain, centres[0], size, pixel)
    sky = (1 - coverage) * (centres < scene.horizon + .02)[:, None]
    distance = np.hypot(centres[None, :] - scene.disc_x, centres[:, None] - scene.disc_y)
    disc = np.clip((scene.disc_radius - distance) / pixel + .5, 0, 1) * (scene.disc != "none")
    return sky.astype(f32), (disc * sky).astype(f32)


# ---------------------------------------------------------------- sky

def paint_sky(scene, noise, palette, x, y, pixel):
    sky = _sky_gradient(scene, palette, x, y)
    dark = scene.time in ("night", "dusk")
    dx, dy = (x - scene.disc_x)[None, :].astype(f32), (y - scene.disc_y)[:, None].astype(f32)
    squared = dx * dx + dy * dy
    if scene.time == "night" or (scene.time == "dusk" and scene.sky == "clear"):
        _add_stars(scene, sky, x, y, pixel)
    if scene.disc != "none":
        glow = (np.exp(-squared / (2 * .17 ** 2)) * (.24 if dark else .34)
                + np.exp(-squared / (2 * (scene.disc_radius * 1.7) ** 2)) * (.2 if dark else .26))
        colour = MOONLIGHT if dark else palette.light
        sky += glow[..., None].astype(f32) * (colour - sky * f32(.45))
    if scene.sky != "clear":
        _add_clouds(scene, noise, palette, sky, x, y, pixel, dark)
    if scene.disc != "none":                                    # over the clouds: always countable
        disc = np.clip((scene.disc_radius - np.sqrt(squared)) / pixel + .5, 0, 1)
        sky += disc[..., None] * (_disc_colour(scene, noise, x, y, pixel) - sky)
    return np.clip(sky, 0, 1)


def _sky_gradient(scene, palette, x, y):
    t = np.clip(y / scene.horizon, 0, 1.05)[:, None, None].astype(f32)
    upper, lower = lerp(palette.zenith, palette.middle, t / .55), lerp(palette.middle, palette.horizon, (t - .55) / .45)
    return np.repeat(np.where(t < .55, upper, lower).astype(f32), len(x), 1)


def _add_stars(scene, sky, x, y, pixel):
    """A star is at least one pixel wide and keeps its light when the pixels grow."""
    rng = np.random.default_rng(scene.noise_seed + 1)
    stars = rng.random((int(STARS[scene.time] * scene.aspect), 3)) * [scene.aspect, scene.horizon, 1]
    reach = int(.0016 / pixel)
    for star_x, star_y, magnitude in stars:
        row, column = int((star_y - y[0]) / pixel), int((star_x - x[0]) / pixel)
        if -reach <= row < len(y) + reach and -reach <= column < len(x) + reach:
            brightness = f32((.15 + .75 * magnitude ** 3) * min(1, .0022 / pixel))
            sky[max(row - reach, 0):row + reach + 1, max(column - reach, 0):column + reach + 1] += brightness


def _add_clouds(scene, noise, palette, sky, x, y, pixel, dark):
    """Flatter and denser toward the horizon, lit from above."""
    threshold = CLOUD_THRESHOLD[scene.sky]
    field = noise.fractal(x * 2.6, y * 5.2 * (1 + .9 * y), pixel * 5, 7, first=3, gain=.52)
    cover = smoothstep(threshold, threshold + .42, field)
    above = np.roll(field, -max(1, int(.012 / pixel)), 0)
    lit = np.clip(.62 + 1.6 * (field - above) - .22 * np.clip(field, 0, 1), 0, 1)[..., None]
    top = lerp(palette.middle, palette.light, .45) if dark else lerp(palette.light, np.ones(3, f32), .35)
    base = palette.ambient if scene.sky == "overcast" else lerp(palette.ambient, palette.horizon, .35)
    opacity = (cover * (.8 if scene.sky == "overcast" else .9))[..., None]
    sky += opacity * (lerp(base, top, lit) - sky)


def _disc_colour(scene, noise, x, y, pixel):
    if scene.disc == "sun":
        return DISC_COLOURS.get(scene.time, DAY_SUN)
    spots = np.ones((len(y), len(x)), f32)
    reach, scale = scene.disc_radius + pixel, 36.
    rows = slice(*np.searchsorted(y, [scene.disc_y - reach, scene.disc_y + reach]))
    columns = slice(*np.searchsorted(x, [scene.disc_x - reach, scene.disc_x + reach]))
    if rows.stop > rows.start and columns.stop > columns.start:
        spots[rows, columns] = .93 + .16 * noise.fractal(x[columns] * scale, y[rows] * scale, pixel * scale, 4, first=5)
    return MOON * spots[..., None]


# ---------------------------------------------------------------- terrain

@dataclass
class Terrain:
    """Slices of land, near to far: the screen row of each slice's crest, its colour and whether it is water, per column."""
    crest: np.ndarray
    colour: np.ndarray
    water: np.ndarray


class Slices:
    """Where the slices stand: depth of each, and the ground coordinates of every pixel column at that depth."""

    def __init__(self, scene, x, whole_rows, pixel):
        ground, beyond = int(whole_rows * .3), int(whole_rows * .46)
        nearest = (scene.eye_height - .55) / (1.02 - scene.horizon)
        self.depth = np.concatenate([
            nearest * (scene.far_shore / nearest) ** (np.arange(ground) / ground),
            scene.far_shore * (FARTHEST / scene.far_shore) ** (np.arange(beyond) / (beyond - 1))])
        self.x = ((x - scene.aspect / 2)[None, :] * self.depth[:, None]).astype(f32)
        self.column_depth = self.depth[:, None].astype(f32)
        self.pixel = self.depth * pixel                         # a pixel's width on the ground

    def fade(self, frequency, count=None):
        """How far an octave is still resolved at each depth."""
        return np.clip(2 - 2 * frequency * self.pixel[:count], 0, 1).astype(f32)[:, None]

    def smooth(self, noise, frequency, octaves, first, gain):
        height, amplitude = np.zeros(self.x.shape, f32), 1.
        for k in range(octaves):
            fade = self.fade(frequency)
            if fade.max() <= 0:
                break
            value = noise.fan((first + k) % OCTAVES, self.x * f32(frequency), self.depth * frequency)
            height += f32(amplitude) * (value - f32(.5)) * fade
            amplitude *= gain
            frequency *= 2.07
        return height

    def ridged(self, noise, frequency, octaves, first, gain):
        """Sharp crests: detail gathers where the coarser octaves are high."""
        height, amplitude, weight = np.zeros(self.x.shape, f32), 1., f32(1)
        for k in range(octaves):
            fade = self.fade(frequency)
            if fade.max() <= 0:
                break
            value = noise.fan((first + k) % OCTAVES, self.x * f32(frequency), self.depth * frequency)
            value = 1 - np.abs(2 * value - 1)
            value = value * value * weight
            weight = np.clip(value * 1.9, .12, 1)
            height += f32(amplitude) * (value * fade + f32(.22) * (1 - fade))
            amplitude *= gain
            frequency *= 2.07
        return height


def build_terrain(scene, noise, palette, x, whole_rows, pixel):
    slices = Slices(scene, x, whole_rows, pixel)
    rough = slices.smooth(noise, .33, 8, 4, .5)
    bare = _bare_height(scene, noise, slices, rough)
    wood, height = _plant_forest(scene, noise, slices, bare)
    light, slope = _light_on_slopes(scene, slices, bare)
    colour = _materials(scene, noise, slices, rough, bare, height, wood, slope)
    colour = colour * (palette.ambient + light[..., None] * (palette.light * 1.12))
    clear_view = 26. if scene.sky == "overcast" else 46.
    fog = 1 - np.exp(-np.clip(slices.depth - 4, 0, None) / clear_view)
    colour += fog[:, None, None].astype(f32) * (lerp(palette.haze, palette.horizon, .25) - colour)
    water = (height < 0) if scene.lake else np.zeros(height.shape, bool)
    height = np.where(water, 0, height)
    crest = scene.horizon - (height - f32(scene.eye_height)) / slices.column_depth
    crest = np.minimum.accumulate(crest, 0)                     # nearer slices hide farther ones
    return Terrain(crest, np.clip(colour, 0, 1), water.astype(f32))


def _bare_height(scene, noise, slices, rough):
    depth = slices.column_depth
    wanted = scene.range_height * RANGE_DEPTH
    if scene.relief == "hills":
        mountains = (slices.smooth(noise, .11, 5, 0, .45) * .55 + .55) * wanted * 1.1
    else:
        mountains = slices.ridged(noise, .085, 9, 0, .5) * wanted * .78
    if scene.relief == "peak":
        peak = f32((scene.peak_x - scene.aspect / 2) * RANGE_DEPTH)
        distance = np.sqrt(((slices.x - peak) / 7.5) ** 2 + ((depth - RANGE_DEPTH) / 7.) ** 2)
        cone = wanted * 1.02 * np.clip(1 - distance * .62, 0, 1) ** 1.25
        mountains = mountains * .42 + cone * (.82 + .35 * mountains / wanted)
    far = smoothstep(scene.far_shore - 1., 31., depth)
    height = far * mountains + rough * lerp(.22, .5, far)
    if not scene.lake:
        return height + .12
    near_land = smoothstep(scene.near_shore + .9, scene.near_shore - .5, depth + rough * 2.2)
    far_land = smoothstep(scene.far_shore - 1.5, scene.far_shore + 1.5, depth + rough * 4)
    return height + .35 * near_land + .5 * far_land - .6 * (1 - near_land) * (1 - far_land)


def _plant_forest(scene, noise, slices, bare):
    """-> density of the forest, height of the land with its trees"""
    if scene.trees == "none" or scene.biome == "desert":
        return np.zeros_like(bare), bare
    depth, wanted = slices.column_depth, scene.range_height * RANGE_DEPTH
    sparseness = .62 if scene.trees == "few" else .3
    patches = noise.fan(9, slices.x * f32(.21), slices.depth * .21)
    wood = smoothstep(.05, .3, patches - sparseness) * smoothstep(scene.far_shore * .8, scene.far_shore + 1, depth)
    wood = wood * smoothstep(wanted * .55, wanted * .3, bare) * (bare > .05)
    tips = noise.fan(10, slices.x * f32(2.6), slices.depth * 2.6) * noise.fan(11, slices.x * f32(4.3), slices.depth * 1.9) * 1.6
    return wood, bare + wood * (.12 + .75 * tips)


def _light_on_slopes(scene, slices, bare):
    """-> Lambert light from the disc's side, steepness"""
    step = np.gradient(slices.depth)[:, None].astype(f32)
    along, across = np.empty_like(bare), np.empty_like(bare)
    along[1:] = (bare[1:] - bare[:-1]) / step[1:]
    along[0] = along[1]
    across[:, 1:] = (bare[:, 1:] - bare[:, :-1]) / slices.pixel[:, None].astype(f32)
    across[:, 0] = across[:, 1]
    side = f32(-1 if scene.disc_x > scene.aspect / 2 else 1)
    normal = 1 / np.sqrt(1 + across * across + along * along)
    light = np.clip((side * across * -.72 + along * .18 + .42) * normal, 0, 1.15)
    return light, np.sqrt(across * across + along * along)


def _materials(scene, noise, slices, rough, bare, height, wood, slope):
    """Unlit colours: rock, then grass, foreground, forest and snow over it."""
    land, depth = land_of(scene), slices.column_depth
    texture = rough / f32(.6)
    altitude = height / f32(scene.range_height * RANGE_DEPTH)
    colour = land.dark_rock + np.clip(.5 + 1.1 * texture, 0, 1)[..., None] * (land.rock - land.dark_rock)
    if scene.biome == "desert":
        strata = np.sin(height * 5.5 + 2 * texture)[..., None]
        colour = colour * (1 + .13 * strata * np.clip(slope, 0, 1)[..., None])
    grass = smoothstep(.62, .3, altitude + .25 * texture) * smoothstep(1.5, .7, slope)
    colour += grass[..., None] * (land.grass - colour)
    _lay_foreground(scene, noise, slices, texture, land, colour)
    forest = land.forest * (.55 + 1.15 * np.clip((height - bare) * 1.3, 0, 1))[..., None]
    canopy = np.clip(wood * 1.6, 0, 1)
    colour += canopy[..., None] * (forest - colour)
    if scene.snow_line < NO_SNOW:
        snow = smoothstep(scene.snow_line - .1, scene.snow_line + .12, altitude + .3 * texture)
        snow = snow * smoothstep(2.3, 1.2, slope) * (1 - .75 * canopy)
        if scene.biome != "arctic":
            snow *= depth > scene.far_shore
        colour += snow[..., None] * (SNOW - colour)
    return colour


def _lay_foreground(scene, noise, slices, texture, land, colour):
    """The ground before the far shore, with octaves down to the pixel."""
    count = int(np.searchsorted(slices.depth, scene.far_shore + 2))
    grain, amplitude, frequency = np.zeros((count, colour.shape[1]), f32), .52, 9.
    for k in range(8):
        resolved = int(np.searchsorted(frequency * slices.pixel[:count] * 2, 2))
        if resolved < 2:
            break
        stretch = .8 if k < 3 else .35
        value = noise.fan((7 + k) % OCTAVES, slices.x[:resolved] * f32(frequency), slices.depth[:resolved] * frequency * stretch)
        grain[:resolved] += f32(amplitude) * slices.fade(frequency, resolved) * (value - f32(.5))
        amplitude, frequency = amplitude * .8, frequency * 2.2
    near = smoothstep(scene.far_shore + 2, scene.far_shore - 3, slices.column_depth)[:count, :, None]
    ground = land.ground * (1.0 + grain[..., None]) * (1 + .35 * texture[:count, :, None])
    colour[:count] += near * (ground - colour[:count])


def project(terrain, first_y, rows, pixel):
    """Terrain to pixels -> colours, share of water, coverage of the sky (anti-aliased at the silhouette)."""
    count, width = terrain.crest.shape
    crest = (terrain.crest - f32(first_y)) / f32(pixel)         # in rows, falling with depth
    columns = np.arange(width)
    seen_slice = _nearest_slice(crest, rows)
    seen = seen_slice < count
    here = np.minimum(seen_slice, count - 1) * width + columns[None, :]
    nearer = np.maximum(np.minimum(seen_slice, count - 1) - 1, 0) * width + columns[None, :]
    crests, colours = crest.ravel(), terrain.colour.reshape(-1, 3)
    gap = crests.take(nearer) - crests.take(here)
    row = np.arange(rows, dtype=f32)[:, None]
    blend = np.clip((row - crests.take(here)) / np.maximum(gap, 1e-3), 0, 1)
    blend = np.where(gap > 9, 0, blend)[..., None]              # a gap in depth is an edge, not a slope
    image = colours.take(here, 0)
    image += blend * (colours.take(nearer, 0) - image)
    image = np.where(seen[..., None], image, colours.take((count - 1) * width + columns, 0)[None])
    water = terrain.water.ravel().take(here) * seen
    coverage = np.clip(row - crest[-1][None, :] + .5, 0, 1).astype(f32)
    return image, water, coverage


def _nearest_slice(crest, rows):
    """For each pixel the nearest slice whose crest is at or above it; the number of slices where only sky is seen."""
    count, width = crest.shape
    first = np.clip(np.ceil(crest - .5), 0, rows).astype(np.int32)
    index = np.full((rows + 1, width), count, np.int32)
    index[first[::-1].ravel(), np.tile(np.arange(width), count)] = np.repeat(np.arange(count - 1, -1, -1, dtype=np.int32), width)
    return np.minimum.accumulate(index[:rows], 0)


# ---------------------------------------------------------------- lake and trees

RIPPLES = ((3.2, 1.5, 1.), (8., 3.6, .55), (19, 8., .3), (43, 17, .2), (90, 36, .12))      # across, along, strength


def paint_lake(scene, noise, palette, image, water, x, y, pixel):
    """The mirrored, rippled picture above the shore, darker with depth, and a broken column of light under the disc."""
    rows, width = water.shape
    shore = np.where(water.any(0), water.argmax(0), rows).astype(f32)
    top = int(shore.min())
    below = y[top:] - scene.horizon
    depth = np.clip(below / (1 - scene.horizon), .02, 1)[:, None].astype(f32)
    ripples = _ripples(scene, noise, x, 1 / np.clip(below, .01, 1), pixel)
    mirror = np.minimum(shore, _running_mean(shore, max(1, int(.03 / pixel))))
    row = np.arange(top, rows, dtype=f32)[:, None]
    source = 2 * mirror[None, :] - row + ripples * (.03 / pixel) * (.25 + depth)
    source = np.clip(source, 0, rows - 1).astype(np.int32)
    reflection = image.reshape(-1, 3).take(source * width + np.arange(width)[None, :], 0)
    deep = lerp(palette.zenith, palette.ambient, .5) * f32(.55) + rgb(6, 20, 28)
    murk = np.clip(.24 + .42 * depth, 0, .75)[..., None]
    reflection = reflection * (f32(.93) - .1 * depth[..., None]) + murk * (deep - reflection) + (.07 * ripples)[..., None]
    if scene.disc != "none":
        column = np.exp(-((x - scene.disc_x)[None, :] / (.025 + .06 * depth)) ** 2 / 2)
        glitter = column * np.clip(ripples * 2.4 - .05, 0, 1) * (.95 if scene.disc == "sun" else .6)
        reflection = reflection + glitter[..., None].astype(f32) * palette.light
    image[top:] += water[top:, :, None] * (np.clip(reflection, 0, 1) - image[top:])


def _ripples(scene, noise, x, distance, pixel):
    total = np.zeros((len(distance), len(x)), f32)
    for k, (across, along, strength) in enumerate(RIPPLES):
        if across * pixel < .6:
            spread = ((x - scene.aspect / 2)[None, :] * distance[:, None] * across).astype(f32)
            total += f32(strength) * (noise.fan((k + 2) % OCTAVES, spread, distance * along) - f32(.5))
    return total


def _running_mean(values, reach):
    if len(values) < 2:
        return values
    sums = np.cumsum(np.pad(values, (reach, reach), "edge"))
    return (sums[2 * reach - 1:] - np.concatenate([[0], sums[:-2 * reach]]))[:len(values)] / (2 * reach)


def paint_fir(scene, fir, palette, image, x, y, pixel):
    size, base = fir.height * 1.25, min(1.04, .8 + .36 * fir.height)
    columns = slice(*np.searchsorted(x, [fir.x - .24 * size - pixel, fir.x + .24 * size + pixel]))
    rows = slice(*np.searchsorted(y, [base - size - pixel, base + pixel]))
    if columns.stop <= columns.start or rows.stop <= rows.start:
        return
    rng = np.random.default_rng(fir.seed)
    up = ((y[rows] - base) / size + 1).astype(f32)[:, None]     # 0 at the tip, 1 at the foot
    across = ((x[columns] - fir.x) / size).astype(f32)[None, :]
    edge, tier = _fir_branches(rng, up, across, pixel, size)
    half_width = .2 * np.clip(up, 0, 1) ** .9 * (.72 + .32 * tier) + .1 * edge * np.clip(up, .1, 1)
    trunk = up > .93
    half_width = np.where(trunk, .022, half_width)
    cover = np.clip((half_width - np.abs(across)) * size / pixel + .5, 0, 1) * (up > .01)
    side = -1 if scene.disc_x > scene.aspect / 2 else 1
    lit = np.clip(.32 + .5 * tier - side * across * 2.2 + .5 * edge, .08, 1.25)[..., None]
    colour = fir_colour(scene) * (palette.ambient * .8 + lit * palette.light * .8)
    if scene.biome == "arctic":
        snow = np.clip((tier - .55) * 2 + .6 * edge, 0, .85)[..., None]
        colour = colour + snow * (rgb(225, 232, 242) * (palette.ambient + palette.light * .6) - colour)
    colour = np.where(trunk[..., None], rgb(66, 48, 36) * (palette.ambient + .5 * palette.light), colour)
    patch = image[rows, columns]
    patch += cover.astype(f32)[..., None] * (np.clip(colour, 0, 1).astype(f32) - patch)


def _fir_branches(rng, up, across, pixel, size):
    """-> rough edge of the branches, place within a tier of branches (0..1)"""
    noise = Noise(rng, 4)
    tiers = 9 + 5 * rng.random()
    edge = noise.grid(0, across[0] * 9, up[:, 0] * 26) - .5
    if pixel * 60 < size:
        edge = edge + .6 * (noise.grid(1, across[0] * 60, up[:, 0] * 60) - .5)
    if pixel * 240 < size:
        edge = edge + .5 * (noise.grid(2, across[0] * 220, up[:, 0] * 220) - .5)
    left, right = rng.random(2)
    phase = up * tiers * (1 + .12 * np.sin(5 * up + 6 * left)) + np.where(across < 0, left, right)
    phase = phase + np.abs(across) * tiers * .5 + 1.1 * edge
    return edge, phase % 1
