"""Tables of what was measured, in Markdown."""

from cases import PEERS, REFERENCE, TESSERA

# Of all processors' time.
ALLOWED_DISTURBANCE = 0.05

ENGINES = (TESSERA, *(engine.name for engine in PEERS))


def best_peer(case: dict) -> tuple[str, float] | None:
    """The fastest engine that is not Tessera, and its seconds."""
    times = {name: engine["median_seconds"] for name, engine in case["engines"].items()
             if name != TESSERA and engine["median_seconds"]}
    return min(times.items(), key=lambda item: item[1]) if times else None


def ratio(case: dict) -> float | None:
    """Tessera's median over the best peer's: below 1, Tessera is faster."""
    own, best = case["engines"][TESSERA]["median_seconds"], best_peer(case)
    return own / best[1] if own and best else None


def ratios_in_rounds(case: dict) -> list[float]:
    """The same in every single round, against the same peer: how far to trust the ratio."""
    if ratio(case) is None:
        return []
    own, peer = case["engines"][TESSERA], case["engines"][best_peer(case)[0]]
    return [ours / theirs for ours, theirs in
            zip(own["turn_seconds"], peer["turn_seconds"], strict=True)]


def disturbed(case: dict) -> bool:
    """Whether an engine waited so long for processors that the case should be run again."""
    return any((engine["median_disturbance"] or 0) > ALLOWED_DISTURBANCE
               for engine in case["engines"].values())


def markdown(results: dict) -> str:
    """The report of a whole comparison."""
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join([
        f"{machine['processor']} (family and model {machine['processor_family_model']}, "
        f"{', '.join(machine['instruction_sets'])}), {machine['processors']} processors, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}. "
        f"Tessera {results['tessera']['version']} as {results['tessera']['compute']}; {versions}; "
        f"Python {machine['python']}. float32, {settings['threads']} threads, medians of "
        f"{settings['rounds']} rounds in which the engines took turns, {results['date']}.",
        table("Time of one forward", results, time_cell, "Tessera / best peer", ratio_cell),
        table("Peak memory of the process", results, memory_cell),
        table("From the start of the process to its first answer", results, start_cell,
              "Tessera / PyTorch", start_ratio_cell),
        table(f"Largest difference from {REFERENCE}, in standard deviations of its answer",
              results, difference_cell),
        table("Time spent waiting for a processor that others had, median of the turns", results,
              disturbance_cell),
    ]) + "\n"


def table(title: str, results: dict, cell, last: str | None = None, last_cell=None) -> str:
    """One row for each case, one column for each engine."""
    names = [name for name in ENGINES if any(name in case["engines"] for case in results["cases"])]
    head = ["case", *names] + ([last] if last else [])
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for case in results["cases"]:
        row = [case["name"]]
        row += [cell(case, name, case["engines"][name]) if name in case["engines"] else "–"
                for name in names]
        rows.append(row + ([last_cell(case)] if last else []))
    return f"**{title}**\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows)


def time_cell(case: dict, name: str, engine: dict) -> str:
    seconds, best = engine["median_seconds"], best_peer(case)
    if seconds is None:
        return "failed"
    return f"**{duration(seconds)}**" if best and best[0] == name else duration(seconds)


def ratio_cell(case: dict) -> str:
    if ratio(case) is None:
        return "–"
    spread = ratios_in_rounds(case)
    text = f"{ratio(case):.2f} ({min(spread):.2f} to {max(spread):.2f})"
    return text + ", disturbed" if disturbed(case) else text


def memory_cell(case: dict, name: str, engine: dict) -> str:
    size = engine["peak_memory_bytes"]
    return f"{size / 2**30:.2f} GiB" if size else "–"


def start_cell(case: dict, name: str, engine: dict) -> str:
    seconds = engine["first_forward_seconds"]
    return duration(seconds) if seconds else "–"


def start_ratio_cell(case: dict) -> str:
    own, reference = (case["engines"].get(name, {}).get("first_forward_seconds")
                      for name in (TESSERA, REFERENCE))
    return f"{own / reference:.2f}" if own and reference else "–"


def difference_cell(case: dict, name: str, engine: dict) -> str:
    difference = engine["difference"]
    return "–" if difference is None else f"{difference:.1e}"


def disturbance_cell(case: dict, name: str, engine: dict) -> str:
    share = engine["median_disturbance"]
    return "–" if share is None else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
