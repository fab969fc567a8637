"""Colours of the sky, the light and the land."""
from dataclasses import dataclass

import numpy as np


def rgb(*values):
    return np.array(values, np.float32) / np.float32(255)


@dataclass
class Palette:
    """Colours of one time of day: sky from top to horizon, haze, direct and ambient light."""
    zenith: np.ndarray
    middle: np.ndarray
    horizon: np.ndarray
    haze: np.ndarray
    light: np.ndarray
    ambient: np.ndarray


PALETTES = {
    "dawn": [rgb(92, 118, 178), rgb(205, 160, 190), rgb(255, 205, 170), rgb(214, 176, 186), rgb(255, 205, 180), rgb(110, 105, 140)],
    "morning": [rgb(58, 122, 205), rgb(130, 182, 232), rgb(222, 236, 245), rgb(190, 212, 232), rgb(255, 244, 220), rgb(120, 138, 165)],
    "noon": [rgb(34, 96, 196), rgb(86, 156, 228), rgb(178, 216, 242), rgb(170, 202, 230), rgb(255, 252, 240), rgb(128, 146, 172)],
    "sunset": [rgb(66, 52, 110), rgb(206, 92, 92), rgb(255, 170, 70), rgb(222, 128, 88), rgb(255, 170, 95), rgb(92, 66, 92)],
    "dusk": [rgb(24, 28, 72), rgb(74, 62, 122), rgb(190, 112, 132), rgb(98, 80, 124), rgb(170, 140, 175), rgb(58, 54, 92)],
    "night": [rgb(5, 9, 28), rgb(12, 22, 54), rgb(30, 48, 90), rgb(22, 36, 70), rgb(112, 132, 178), rgb(20, 28, 54)],
    "overcast": [rgb(120, 128, 138), rgb(158, 165, 172), rgb(196, 200, 202), rgb(178, 184, 188), rgb(200, 202, 204), rgb(128, 132, 138)],
}

DISC_COLOURS = {"sunset": rgb(255, 236, 170), "dawn": rgb(255, 240, 205)}
DAY_SUN = rgb(255, 250, 205)
MOON = rgb(246, 244, 230)
MOONLIGHT = rgb(190, 205, 235)
SNOW = rgb(240, 245, 252)


@dataclass
class Land:
    """Colours of one biome."""
    rock: np.ndarray
    dark_rock: np.ndarray
    grass: np.ndarray
    forest: np.ndarray
    ground: np.ndarray


LANDS = {
    "alpine": [rgb(112, 108, 106), rgb(78, 76, 80), rgb(104, 132, 62), rgb(36, 66, 44), rgb(118, 128, 70)],
    "green": [rgb(92, 104, 72), rgb(66, 80, 58), rgb(92, 148, 56), rgb(34, 84, 38), rgb(104, 152, 60)],
    "desert": [rgb(190, 106, 62), rgb(140, 70, 46), rgb(204, 150, 92), rgb(110, 108, 60), rgb(214, 164, 104)],
    "arctic": [rgb(120, 130, 146), rgb(84, 94, 114), rgb(226, 234, 244), rgb(52, 78, 82), rgb(232, 238, 246)],
    "autumn": [rgb(118, 106, 92), rgb(82, 72, 66), rgb(168, 138, 62), rgb(186, 92, 34), rgb(170, 142, 66)],
}


def palette_of(scene):
    """The scene's sky and light, a little off the standard ones."""
    colours = PALETTES["overcast" if scene.sky == "overcast" else scene.time]
    return Palette(*[np.clip(c + t, 0, 1).astype(np.float32) for c, t in zip(colours, scene.tint[::-1] * .7)])


def land_of(scene):
    return Land(*[np.clip(c + t, 0, 1) for c, t in zip(LANDS[scene.biome], scene.tint)])


def fir_colour(scene):
    if scene.biome in ("alpine", "green", "arctic"):
        return LANDS[scene.biome][3] + scene.tint[3]
    return LANDS["autumn"][3] * rgb(190, 190, 190) + scene.tint[3]
