"""Compare Tessera with PyTorch, OpenVINO and ONNX Runtime on this machine.

Writes comparison.md and comparison.json. Exit codes: 0 done, 1 an answer differs from PyTorch's
by more than allowed or an engine failed, 2 usage.
"""

import argparse
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import numpy
from safetensors.numpy import load_file

from cases import CASES, PEERS, REFERENCE, TESSERA, Case
from machine import machine_facts, package_versions
from prepare import HERE, Workshop
from race import Result, race
from report import disturbed, markdown, ratio, ratios_in_rounds

# Of the standard deviation of PyTorch's answer, in float32.
ALLOWED_DIFFERENCE = 1e-3


def main() -> int:
    options = parse()
    # Ends like an interruption: stopped engines would stay for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    shop = Workshop(tessera=options.tessera.resolve(), cache=options.cache.resolve(),
                    threads=options.threads, versions=package_versions(), say=say)
    options.output.mkdir(parents=True, exist_ok=True)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine_facts(),
        "tessera": tessera_facts(shop.tessera),
        "versions": shop.versions,
        "settings": {"rounds": options.rounds, "threads": options.threads,
                     "allowed_difference": ALLOWED_DIFFERENCE},
        "cases": [],
    }
    for case in CASES:
        if case.name in options.case:
            results["cases"].append(measure(case, shop, options))
            # After every case: an interrupted comparison keeps what it has.
            (options.output / "comparison.json").write_text(json.dumps(results, indent=2) + "\n")
            (options.output / "comparison.md").write_text(markdown(results))
    print(markdown(results))
    return 0 if all(good(case) for case in results["cases"]) else 1


def parse() -> argparse.Namespace:
    names = [case.name for case in CASES]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", type=Path, default=HERE.parent / ".build/release/tessera",
                        help="the program (default: the release build of this repository)")
    parser.add_argument("--cache", type=Path, default=cache / "tessera-benchmarks",
                        help="models and exports, 35 GB for all cases (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("."),
                        help="folder of the two reports (default: the current one)")
    parser.add_argument("--case", action="append", choices=names,
                        help="may be given several times; all if left out")
    parser.add_argument("--peer", action="append", choices=[engine.name for engine in PEERS],
                        help="may be given several times; all if left out. PyTorch always runs, "
                        "once if it is not named: the others are held against its answer")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (default: 2)")
    options = parser.parse_args()
    if not options.tessera.is_file():
        parser.error(f"there is no program {options.tessera}; make build, or give --tessera")
    if min(options.rounds, options.threads) < 1:
        parser.error("--rounds and --threads should be 1 or more")
    options.case = options.case or names
    # A reference that is no peer has one turn, for its answer.
    options.only_once = frozenset({REFERENCE} - set(options.peer or {REFERENCE}))
    options.peer = [*options.peer, REFERENCE] if options.peer else [e.name for e in PEERS]
    return options


def measure(case: Case, shop: Workshop, options: argparse.Namespace) -> dict:
    """Everything about one case."""
    say(f"{case.name}: {case.kind} of {case.preset or 'the default model'}")
    peers = [engine for engine in case.peers if engine.name in options.peer]
    commands = shop.commands(case, TESSERA, peers)
    for engine in peers:
        shop.answer(case, engine.name).unlink(missing_ok=True)
    results = race(commands, options.rounds, case.burst, case.together, say, options.only_once)
    answers = {TESSERA: shop.folder(case) / "inputs.safetensors",
               **{engine.name: shop.answer(case, engine.name) for engine in peers}}
    report = {
        "name": case.name, "network": case.kind, "preset": case.preset, "batch": case.batch,
        "latent": case.latent, "forwards_in_a_turn": case.burst, "side_by_side": case.together,
        "engines": {name: facts(result, difference(answers[name], answers.get(REFERENCE)))
                    for name, result in results.items()},
        "tessera_report": results[TESSERA].summary,
    }
    report |= {"ratio_to_best_peer": ratio(report), "ratios_in_rounds": ratios_in_rounds(report),
               "disturbed": disturbed(report)}
    return report


def facts(result: Result, difference: float | None) -> dict:
    """What is reported of one engine."""
    return {
        "median_seconds": result.seconds,
        "turn_seconds": result.turns,
        "first_forward_seconds": median(result.first_forward_seconds),
        "peak_memory_bytes": result.peak_memory_bytes,
        "difference": difference,
        "median_disturbance": median(result.disturbance),
        "error": result.error,
    }


def difference(answer: Path, reference: Path | None) -> float | None:
    """The largest, in standard deviations of the reference; None where one is missing."""
    if reference is None or not (answer.exists() and reference.exists()):
        return None
    expected, found = load_file(reference)["output"], load_file(answer)["output"]
    if expected.shape != found.shape:
        raise SystemExit(f"{answer}: shape {found.shape}, expected {expected.shape}")
    return float(numpy.abs(found - expected).max() / expected.std())


def good(case: dict) -> bool:
    """Whether every engine ran and every answer was compared and agrees."""
    return all(engine["error"] is None and engine["difference"] is not None
               and engine["difference"] <= ALLOWED_DIFFERENCE
               for engine in case["engines"].values())


def tessera_facts(program: Path) -> dict:
    """Version and compute class."""
    report = json.loads(subprocess.run(
        [program, "doctor", "--json"], stdout=subprocess.PIPE, text=True).stdout)
    return {"version": report["version"], "compute": report["compute"]["compute_class"]}


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
