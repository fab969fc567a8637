"""What a landscape shows: sample_scene(seed) draws all facts and all places of one scene, no pixels yet.

Places are in units of the picture's height: 0 at the top left, the picture is 1 high and `aspect` wide.
"""
from dataclasses import dataclass

import numpy as np

TIMES = {"dawn": .12, "morning": .15, "noon": .13, "sunset": .32, "dusk": .10, "night": .18}
BIOMES = {"alpine": .34, "green": .20, "desert": .16, "arctic": .15, "autumn": .15}
SKIES = {"clear": .44, "few clouds": .32, "cloudy": .17, "overcast": .07}
RELIEFS = {"mountains": .68, "peak": .20, "hills": .12}
TREES = {"none": .56, "few": .20, "forest": .24}

RANGE_HEIGHT = {"mountains": (.17, .28), "peak": (.27, .38), "hills": (.06, .13)}
DISC_HEIGHT = {"dawn": .12, "sunset": .10, "morning": .20, "noon": .30, "dusk": .20, "night": .26}
DISC_RADIUS = {"dawn": .068, "sunset": .08, "morning": .062, "noon": .058, "dusk": .064, "night": .07}
SNOW_LINE = {"alpine": (.35, .6), "green": (.8, 1.4), "desert": (9., 9.), "arctic": (-.2, .15), "autumn": (.55, 1.0)}
NO_SNOW = 5.0       # a snow line above this means none at all


@dataclass
class Fir:
    """A tree in the foreground."""
    x: float
    height: float
    seed: int


@dataclass
class Scene:
    """One landscape: the facts its captions may tell, then the places and sizes of things."""
    aspect: float
    time: str
    biome: str
    sky: str
    relief: str
    trees: str
    lake: bool
    horizon: float
    eye_height: float
    range_height: float
    peak_x: float
    disc_x: float
    disc_y: float
    disc_radius: float
    snow_line: float
    near_shore: float
    far_shore: float
    tint: np.ndarray
    firs: list
    noise_seed: int

    @property
    def disc(self):
        """'sun', 'moon' or 'none'; never more than one."""
        if self.sky == "overcast":
            return "none"
        return "moon" if self.time in ("dusk", "night") else "sun"


def sample_scene(seed, aspect=1.0):
    rng = np.random.default_rng([seed, 7919])
    uniform = rng.uniform
    time, biome, sky = _pick(rng, TIMES), _pick(rng, BIOMES), _pick(rng, SKIES)
    lake = bool(rng.random() < (.35 if biome == "desert" else .68))
    relief, trees = _pick(rng, RELIEFS), _pick(rng, TREES)
    if sky == "overcast" and time in ("dusk", "night", "dawn", "sunset"):
        time = "noon"
    if biome == "desert":
        trees = "none"
    horizon, range_height = uniform(.5, .66), uniform(*RANGE_HEIGHT[relief])
    peak_x, disc_x = uniform(.25, .75) * aspect, uniform(.14, .86) * aspect
    if relief == "peak" and abs(disc_x - peak_x) < .3 * aspect:         # the peak must not hide the disc
        disc_x = peak_x + (-.32 if peak_x > .5 * aspect else .32) * aspect
    return Scene(
        aspect=float(aspect), time=time, biome=biome, sky=sky, relief=relief, trees=trees, lake=lake,
        horizon=horizon, eye_height=uniform(.9, 1.3), range_height=range_height, peak_x=peak_x, disc_x=disc_x,
        disc_y=float(np.clip(horizon - range_height - DISC_HEIGHT[time] * uniform(.55, 1.0), .11, .5)),
        disc_radius=DISC_RADIUS[time] * uniform(.9, 1.15), snow_line=uniform(*SNOW_LINE[biome]),
        near_shore=uniform(3.1, 4.6), far_shore=uniform(11., 16.),
        tint=rng.normal(0, .035, (6, 3)).astype(np.float32),
        firs=_sample_firs(rng, trees, aspect), noise_seed=int(rng.integers(2 ** 31)))


def _pick(rng, shares):
    return str(rng.choice(list(shares), p=list(shares.values())))


def _sample_firs(rng, trees, aspect):
    """Firs stand at the left and right edges and hide little of the view; the smallest, farthest come first."""
    count = {"none": 0, "few": int(rng.integers(1, 3)), "forest": int(rng.integers(2, 5))}[trees]
    firs = []
    for _ in range(count):
        edge = (-.03, .24) if rng.random() < .5 else (.76, 1.03)
        firs.append(Fir(float(rng.uniform(*edge) * aspect), float(rng.uniform(.22, .6)), int(rng.integers(2 ** 31))))
    return sorted(firs, key=lambda fir: fir.height)
