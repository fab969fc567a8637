"""Engines that take turns: A B C A B C …, so that a slow minute of the machine meets all."""

import json
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class EngineFailed(Exception):
    """An engine ended before it answered."""


@dataclass
class Command:
    """How an engine is started, and where its messages go."""

    name: str
    words: list[str]
    folder: Path
    log: Path


@dataclass
class Result:
    """What was measured of one engine."""

    # Medians of its turns.
    turns: list[float] = field(default_factory=list)
    # From the start of its process to the end of its first forward, one for each process.
    first_forward_seconds: list[float] = field(default_factory=list)
    # The largest resident set of any of its processes.
    peak_memory_bytes: int = 0
    # Of the processors' time, in each turn: what it waited for while others had them.
    disturbance: list[float] = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        return statistics.median(self.turns) if self.turns and not self.error else None


class EngineProcess:
    """An engine in a process of its own, stopped whenever it is not its turn."""

    def __init__(self, command: Command):
        self.command = command
        self.began = time.perf_counter()
        with command.log.open("w") as log:
            self.process = subprocess.Popen(
                command.words, cwd=command.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, text=True, start_new_session=True)
        self._prefer()

    def load(self) -> float:
        """The seconds from its start to the end of its first forward."""
        self._read("ready")
        seconds = time.perf_counter() - self.began
        self._stop()
        return seconds

    def turn(self, burst: int) -> tuple[float, float]:
        """The median seconds of `burst` forwards, and how much it was disturbed."""
        self.process.send_signal(signal.SIGCONT)
        before = WaitingTime.now(self.process.pid)
        seconds = []
        for _ in range(burst):
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
            seconds.append(self._read("run")["seconds"])
        disturbance = WaitingTime.now(self.process.pid).disturbance(since=before)
        self._stop()
        return statistics.median(seconds), disturbance

    def finish(self) -> dict:
        """Its summary; the process is over."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        summary = self._read()
        self.process.wait()
        return summary

    def kill(self) -> None:
        """Ends it whatever it does."""
        self.process.kill()
        self.process.wait()

    @property
    def peak_memory_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def _stop(self) -> None:
        """Until its next turn: threads that spin while they wait would slow the others down."""
        self.process.send_signal(signal.SIGSTOP)

    def _prefer(self) -> None:
        """Before other sessions of this machine, where we may; killed first when memory ends."""
        for file, value in (("autogroup", "-20"), ("oom_score_adj", "1000")):
            try:
                Path(f"/proc/{self.process.pid}/{file}").write_text(value)
            except OSError:
                pass

    def _read(self, event: str | None = None) -> dict:
        """The next object of this event, None for the one without."""
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("event") == event:
                return message
        self.process.wait()
        lines = self.command.log.read_text().strip().splitlines()
        raise EngineFailed(
            f"ended with status {self.process.returncode}: {lines[-1] if lines else 'no message'}")


@dataclass(frozen=True)
class WaitingTime:
    """Counters of time in which a process would have run but could not."""

    # Of all its threads, ready to run while something else had the processor.
    ready: float
    # Of all processors, taken by the host of this virtual machine.
    stolen: float
    read_at: float

    @staticmethod
    def now(pid: int) -> "WaitingTime":
        # The second number of schedstat is in nanoseconds; see sched-stats in Linux's
        # documentation. Stolen ticks are the eighth number of proc(5)'s stat.
        ready = 0
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                ready += int((thread / "schedstat").read_text().split()[1])
            except (OSError, IndexError):
                pass  # A thread that has just ended, or a system that does not count.
        stolen = int(Path("/proc/stat").read_text().split()[8])
        return WaitingTime(
            ready * 1e-9, stolen / os.sysconf("SC_CLK_TCK"), time.perf_counter())

    def disturbance(self, since: "WaitingTime") -> float:
        """Waiting as a share of all processors' time."""
        waited = max(0.0, self.ready - since.ready) + self.stolen - since.stolen
        return waited / ((self.read_at - since.read_at) * os.cpu_count())


def race(
    commands: list[Command], rounds: int, burst: int, together: bool, say: Callable[[str], None],
    only_once: frozenset[str] = frozenset()
) -> dict[str, Result]:
    """What each engine took in `rounds` rounds of one turn each; those `only_once` have one turn,
    for their answer. One that fails is left out."""
    results = {command.name: Result() for command in commands}
    with ExitStack() as stack:
        loaded = {}
        if together:
            for command in commands:
                with _watched(results[command.name], command, say):
                    loaded[command.name] = _start(command, results[command.name], stack)
        for index in range(rounds):
            for command in commands:
                result = results[command.name]
                if result.error or (index > 0 and command.name in only_once):
                    continue
                with _watched(result, command, say):
                    engine = loaded.get(command.name) or _start(command, result, stack)
                    seconds, disturbance = engine.turn(burst)
                    result.turns.append(seconds)
                    result.disturbance.append(disturbance)
                    say(f"  round {index + 1}: {command.name} {seconds:.4g} s")
                    if not together:
                        _finish(engine, result)
        for name, engine in loaded.items():
            if not results[name].error:
                with _watched(results[name], engine.command, say):
                    _finish(engine, results[name])
    return results


def _start(command: Command, result: Result, stack: ExitStack) -> EngineProcess:
    engine = EngineProcess(command)
    stack.callback(engine.kill)
    result.first_forward_seconds.append(engine.load())
    return engine


def _finish(engine: EngineProcess, result: Result) -> None:
    result.peak_memory_bytes = max(result.peak_memory_bytes, engine.peak_memory_bytes)
    result.summary = engine.finish()


@contextmanager
def _watched(result: Result, command: Command, say: Callable[[str], None]) -> Iterator[None]:
    """An engine's failure is part of the result, not the end of the comparison."""
    try:
        yield
    except (EngineFailed, BrokenPipeError) as error:
        result.error = str(error)
        say(f"  {command.name} failed: {error}")
