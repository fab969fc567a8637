"""What computed, so that a figure can be read years later."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path


def machine_facts() -> dict:
    """Processor, memory and system, as Linux says."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    flags = set(re.search(r"flags\s*: (.*)", Path("/proc/cpuinfo").read_text())[1].split())
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    release = platform.freedesktop_os_release()
    return {
        "processor": processor[1],
        "processor_family_model": _family_and_model(),
        "processors": len(os.sched_getaffinity(0)),
        "instruction_sets": sorted(
            flags & {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"}),
        "memory_bytes": int(memory[1]) * 1024,
        "system": f"{release['PRETTY_NAME']}, Linux {platform.release()}",
        "python": platform.python_version(),
    }


def package_versions() -> dict[str, str]:
    """Of the packages in requirements.txt, as installed."""
    lines = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    return {name: version(name) for name in names}


def _family_and_model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    return " ".join(
        re.search(rf"^{name}\s*: (\d+)", text, re.MULTILINE)[1] for name in ("cpu family", "model"))
