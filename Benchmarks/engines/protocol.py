"""How an engine is driven: load, run once, then run once for every line on standard input.

An engine prints one JSON object a line: `ready` after the first run, `run` with its seconds after
every other, and a summary when its input ends. `tessera bench … --paced` does the same.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
from safetensors.numpy import save_file

Forward = Callable[[], numpy.ndarray]


def arguments(description: str, **switches: str) -> argparse.Namespace:
    """The flags that every engine takes, and `switches` (name: help) of this one's own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kind", required=True, help="unet, vae or text")
    parser.add_argument("--model", type=Path, required=True, help="a model folder, or its export")
    parser.add_argument("--inputs", type=Path, required=True, help="safetensors with the inputs")
    parser.add_argument("--output", type=Path, required=True, help="safetensors for the answer")
    parser.add_argument("--threads", type=int, required=True)
    for name, text in switches.items():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=text)
    return parser.parse_args()


def serve(load: Callable[[], Forward], output: Path) -> None:
    """Answers every line, and writes the last answer to `output` as the tensor `output`."""
    began = time.perf_counter()
    forward = load()
    load_seconds = time.perf_counter() - began
    answer = forward()
    say(event="ready", load_seconds=load_seconds)
    runs = []
    for _ in sys.stdin:
        began = time.perf_counter()
        answer = forward()
        runs.append(time.perf_counter() - began)
        say(event="run", seconds=runs[-1])
    save_file({"output": numpy.ascontiguousarray(answer, dtype=numpy.float32)}, output)
    say(load_seconds=load_seconds, seconds=runs,
        median_seconds=statistics.median(runs) if runs else None)


def say(**message) -> None:
    """One line of JSON, at once."""
    print(json.dumps(message), flush=True)
