"""Sentences for a scene: one of many phrasings, each fact told or left out."""
import re

TIME = {"dawn": ["at dawn", "at sunrise", "in the early morning"], "morning": ["in the morning", "on a bright morning"],
        "noon": ["at noon", "at midday", "by day"], "sunset": ["at sunset", "in the evening sun", "at golden hour"],
        "dusk": ["at dusk", "at twilight"], "night": ["at night", "by night"]}
BIOME = {"alpine": ["alpine", "rocky", "snow-capped"], "green": ["green", "lush green"], "desert": ["desert", "red desert"],
         "arctic": ["snowy", "frozen", "winter"], "autumn": ["autumn", "golden autumn"]}
RELIEF = {"mountains": ["mountains", "a mountain range"], "peak": ["a single peak", "a tall mountain"],
          "hills": ["rolling hills", "hills"]}
SKY = {"clear": ["a clear sky", "a cloudless sky"], "few clouds": ["a few clouds", "scattered clouds"],
       "cloudy": ["a cloudy sky", "many clouds"], "overcast": ["an overcast sky", "a grey sky"]}
TREES = {"none": [], "few": ["a few trees", "some trees"], "forest": ["a pine forest", "many trees", "a forest"]}
DISC = {"none": [], "sun": ["the sun", "the sun in the sky", "a bright sun"], "moon": ["a full moon", "the moon", "a bright moon"]}
OPEN_GROUND = {"desert": "sand", "arctic": "snow fields"}
BESIDE = ["above", "above", "above", "by", "over", "with", "with", "behind"]
LAKE = ["a lake", "a lake", "a calm lake", "a lake reflecting the sky"]
OPENING = ["", "", "", "a landscape with ", "a painting of ", "a photo of ", "a view of "]


def caption(scene, rng):
    """Such as 'a snowy mountain range at sunset above a lake with scattered clouds'."""
    pick = lambda words: words[int(rng.integers(len(words)))]
    subject = _subject(scene, rng, pick)
    time = "on a grey day" if scene.sky == "overcast" and rng.random() < .6 else pick(TIME[scene.time])
    place = f"{pick(BESIDE)} {pick(LAKE)}" if scene.lake and rng.random() > .15 else ""
    details = _details(scene, rng, pick)
    order = [subject, time, place] if rng.random() < .6 else [subject, place, time]
    sentence = pick(OPENING) + " ".join(part for part in order if part)
    if not details:
        return sentence
    if rng.random() < .5:
        return ", ".join([sentence] + details)
    listed = details[0] if len(details) == 1 else ", ".join(details[:-1]) + " and " + details[-1]
    joint = " and " if place.startswith("with") and sentence.endswith(place) else " with "
    return sentence + joint + listed


def _subject(scene, rng, pick):
    relief, biome = pick(RELIEF[scene.relief]), pick(BIOME[scene.biome])
    if rng.random() < .35:
        return relief
    words = f"a {biome} {relief[2:]}" if relief.startswith("a ") else f"{biome} {relief}"
    return re.sub(r"^a (?=[aeiou])", "an ", words)


def _details(scene, rng, pick):
    """Sky, disc, trees and ground in any order; each left out now and then, all of them in a quarter of the captions."""
    told = []
    if not scene.lake and rng.random() < .25:
        told.append(OPEN_GROUND.get(scene.biome, "a meadow"))
    told += [pick(words) for words in (TREES[scene.trees], SKY[scene.sky], DISC[scene.disc]) if words]
    told = [detail for detail in told if rng.random() > .3]
    if rng.random() < .25:
        return []
    rng.shuffle(told)
    return told
