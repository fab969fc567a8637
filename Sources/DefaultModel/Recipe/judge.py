"""Judge the pictures of a comparison: python judge.py FOLDER [--tessera PROGRAM] [--renders 16]

FOLDER is what `tessera compare` made with the model that ships. Writes FOLDER/judgement.json; the same comparison again puts the
figures on its page. What a prompt means is read with captions.py, and scenes that fit it are rendered at the pictures' size:

- horizons, suns: count.py; a landscape has one horizon, and one sun or moon unless the sky is overcast.
- detail: mean squared gradient of the grey picture, as a share of the renders'.
- patch_frechet: frechet.py's distance between 128-pixel patches at full size and those of the renders; frechet: between whole
  pictures. Compare only figures of as many pictures.
- border_energy: colour steps across the edges of the last step's windows, in proportion to all steps. It needs PROGRAM.
"""
import argparse
import glob
import json
import os
import subprocess

import numpy as np
import torch

import captions
import count
import png
from render import render
from scenes import sample_scene

FIRST_SEED = 6_000_000                  # neither training's nor frechet.py's
PATCH, PATCHES = 128, 32                # side; at most so many of a picture
FEWEST = 8                              # pictures for a distance between whole ones
GREY = np.array([.299, .587, .114], np.float32) / 255


class Wanted:
    """What a prompt says of a scene, and the scenes that fit."""

    FACTS = {"time": captions.TIME, "biome": captions.BIOME, "relief": captions.RELIEF, "sky": captions.SKY,
             "trees": captions.TREES, "disc": captions.DISC}

    def __init__(self, prompt):
        text = " " + prompt.lower() + " "
        self.facts = {}
        for fact, phrases in self.FACTS.items():
            found = {value for value, words in phrases.items() if any(word.removeprefix("a ") in text for word in words)}
            if found:
                self.facts[fact] = found
        if "grey day" in text:
            self.facts["sky"] = {"overcast"}
        self.lake = True if " lake" in text else None
        self.suns = 0 if self.facts.get("sky") == {"overcast"} else 1

    def fits(self, scene):
        if (scene.disc != "none") != (self.suns == 1) or self.lake and not scene.lake:
            return False
        return all(getattr(scene, fact) in values for fact, values in self.facts.items())

    def scenes(self, number, aspect):
        found, seed = [], FIRST_SEED
        while len(found) < number and seed < FIRST_SEED + 20_000:
            scene = sample_scene(seed, aspect)
            found += [scene] if self.fits(scene) else []
            seed += 1
        return found


def gradient(picture):
    x = picture.astype(np.float32) @ GREY
    return float((np.diff(x, axis=0) ** 2).mean() + (np.diff(x, axis=1) ** 2).mean())


def patches(picture):
    height, width = picture.shape[:2]
    cells = [(i, j) for i in range(0, height - PATCH + 1, PATCH) for j in range(0, width - PATCH + 1, PATCH)]
    if len(cells) > PATCHES:
        chosen = np.random.default_rng(0).choice(len(cells), PATCHES, replace=False)
        cells = [cells[k] for k in sorted(chosen)]
    return [picture[i:i + PATCH, j:j + PATCH] for i, j in cells]


class Judge:
    def __init__(self, folder, tessera, renders):
        self.folder, self.tessera, self.renders = folder, tessera, renders
        self.counter, self.references, self.missing = count.load_counter(), {}, []
        try:
            import frechet
            self.frechet, self.features = frechet, frechet.Features()
        except ImportError as error:
            self.features = None
            self.missing.append(f"Distances: {error}; install the recipe's requirements.txt.")
        if not tessera:
            self.missing.append("Borders: judge.py was not given --tessera.")

    def measured(self, picture):
        """Gradient, and features of patches and of the whole."""
        found = dict(gradient=gradient(picture))
        if self.features:
            found.update(patches=self.features(patches(picture)), whole=self.features([picture]))
        return found

    def reference(self, prompt, height, width):
        """The same of renders that fit, made once for a prompt and a size."""
        key = prompt, height, width
        if key not in self.references:
            number = max(2, min(self.renders, self.renders * 1024 * 1024 // (height * width)))
            scenes = Wanted(prompt).scenes(number, width / height)
            self.references[key] = [self.measured(render(scene, height, width=width)) for scene in scenes]
        return self.references[key]

    def borders(self, case, picture):
        """Steps across the edges of the last step's windows, in proportion to all; None without windows."""
        plan = json.loads(subprocess.run(
            [self.tessera, "plan", "--prompt", case["prompt"], "--size", case["size"], "--method", case["method"],
             "--seed", str(case["seed"]), "--format", "json", "--expand"], check=True, capture_output=True).stdout)
        views = [view for view in plan["phases"][-1]["steps"][-1]["views"] if view["kind"] == "window"]
        x, ratios = picture.astype(np.float32), []
        for axis, side, place, extent in ((0, picture.shape[0], "y", "height"), (1, picture.shape[1], "x", "width")):
            edges = {8 * v[place] for v in views} | {8 * (v[place] + v[extent]) for v in views}
            edges = [edge - 1 for edge in edges if 0 < edge < side]
            steps = np.abs(np.diff(x, axis=axis)).mean(axis=(1 - axis, 2))
            ratios += [steps[edges].mean() / steps.mean()] if edges else []
        return float(np.mean(ratios)) if ratios else None

    def group(self, records):
        """-> figures of each picture, figures of all of them"""
        own, every = {}, []
        for record in records:
            case, wanted = record["case"], Wanted(record["case"]["prompt"])
            picture = png.load(f"{self.folder}/pictures/{name(case)}.png")
            found, measured = count.count(picture, self.counter), self.measured(picture)
            real = self.reference(case["prompt"], *picture.shape[:2])
            figures = dict(horizons=found["horizons"], suns=found["suns"], right_suns=int(found["suns"] == wanted.suns))
            if real:
                figures["detail"] = measured["gradient"] / np.mean([r["gradient"] for r in real])
            border = self.borders(case, picture) if self.tessera else None
            if border is not None:
                figures["border_energy"] = border
            own[name(case)] = {key: round(float(value), 4) for key, value in figures.items()}
            every.append((figures, measured, real))
        total = {key: np.mean([figures[key] for figures, _, _ in every if key in figures])
                 for key in {key for figures, _, _ in every for key in figures} - {"suns"}}
        if self.features:
            total.update(self.distances(every))
        return own, {key: round(float(value), 4) for key, value in total.items()}

    def distances(self, every):
        found = {}
        for key, title, fewest in (("patches", "patch_frechet", PATCH), ("whole", "frechet", FEWEST)):
            own = np.concatenate([measured[key] for _, measured, _ in every])
            real = np.concatenate([r[key] for reference in {id(real): real for _, _, real in every}.values() for r in reference])
            if min(len(own), len(real)) >= fewest:
                project = self.frechet.principal(real)
                found[title] = self.frechet.frechet(project(real), project(own))
        return found


def name(case):
    return f"{case['method']}-{case['size']}-p{case['promptNumber']}-s{case['seed']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--tessera", help="the built program, for the places of windows")
    parser.add_argument("--renders", type=int, default=16, help="renders for a prompt at up to 1024 x 1024; fewer above")
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(options.folder, options.tessera, options.renders)
    groups = {}
    for path in sorted(glob.glob(options.folder + "/records/*.json")):
        with open(path) as file:
            record = json.load(file)
        if "figures" in record and os.path.exists(f"{options.folder}/pictures/{name(record['case'])}.png"):
            groups.setdefault(f"{record['case']['method']} {record['case']['size']}", []).append(record)
    judgement = dict(pictures={}, groups={}, missing=judge.missing)
    for title, records in groups.items():
        pictures, judgement["groups"][title] = judge.group(records)
        judgement["pictures"].update(pictures)
        print(title, judgement["groups"][title], flush=True)
    path = options.folder + "/judgement.json"
    with open(path + ".partial", "w") as file:
        json.dump(judgement, file, indent=2)
    os.replace(path + ".partial", path)


if __name__ == "__main__":
    main()
