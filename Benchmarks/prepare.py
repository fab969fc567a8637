"""Everything that is made before anything is measured: models, inputs, exports."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cases import Case, Engine
from race import Command

HERE = Path(__file__).resolve().parent
SHIPPED_MODEL = HERE.parent / "Sources" / "DefaultModel" / "Model"


@dataclass(frozen=True)
class Workshop:
    """Where things are kept, and what makes them."""

    tessera: Path
    cache: Path
    threads: int
    versions: dict[str, str]
    say: Callable[[str], None]

    def model(self, case: Case) -> Path:
        """The case's model folder, made if it is not there."""
        if case.preset is None:
            return SHIPPED_MODEL
        folder = self.cache / "models" / case.preset
        if not folder.exists():
            self.say(f"  synthesizing {case.preset}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            run([self.tessera, "synthesize", case.preset, "--output", folder])
        return folder

    def inputs(self, case: Case) -> Path:
        """The case's inputs with Tessera's answer to them, as the program computes it now."""
        file = self.folder(case) / "inputs.safetensors"
        self.say("  asking Tessera for inputs and its answer")
        run([*self.tessera_words(case), "--runs", "1", "--save", file])
        return file

    def tessera_words(self, case: Case) -> list:
        """Tessera's benchmark of this case."""
        words = [self.tessera, "bench", case.kind, "--model", self.model(case),
                 "--threads", self.threads]
        if case.latent is not None:
            words += ["--latent-size", case.latent]
        if case.kind == "unet":
            words += ["--batch", case.batch]
        return words

    def commands(self, case: Case, tessera: str, engines: list[Engine]) -> list[Command]:
        """How every engine is started. Exports are made here if they are not there."""
        folder = self.folder(case)
        inputs = self.inputs(case)
        commands = [Command(tessera, words([*self.tessera_words(case), "--paced"]), HERE,
                            folder / "tessera.log")]
        for engine in engines:
            stem = engine.name.lower().replace(" ", "-")
            source = self.export(case, engine.suffix, inputs) if engine.suffix else self.model(case)
            commands.append(Command(engine.name, words([
                sys.executable, "-m", engine.module, *engine.flags, "--kind", case.kind, "--model",
                source, "--inputs", inputs, "--output", self.answer(case, engine.name),
                "--threads", self.threads]), HERE, folder / f"{stem}.log"))
        return commands

    def answer(self, case: Case, engine: str) -> Path:
        """Where a peer leaves its answer."""
        return self.folder(case) / f"{engine.lower().replace(' ', '-')}.safetensors"

    def export(self, case: Case, suffix: str, inputs: Path) -> Path:
        """The network in a peer's own format, kept until a version or a weight changes."""
        folder = self.folder(case) / suffix[1:]
        file, stamp = folder / f"model{suffix}", folder / "made-from.json"
        made_from = {"versions": self.versions, "weights": weights(self.model(case)),
                     "latent": case.latent, "batch": case.batch}
        if stamp.exists() and json.loads(stamp.read_text()) == made_from:
            return file
        self.say(f"  exporting to {suffix[1:]}")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, HERE / "export.py", "--kind", case.kind, "--model", self.model(case),
             "--inputs", inputs, "--output", file])
        stamp.write_text(json.dumps(made_from))
        return file

    def folder(self, case: Case) -> Path:
        """Of everything that belongs to one case."""
        folder = self.cache / "cases" / case.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def weights(model: Path) -> list:
    """Enough of a model's weight files to notice that they were written anew."""
    return [[str(file.relative_to(model)), file.stat().st_size, file.stat().st_mtime_ns]
            for file in sorted(model.rglob("*.safetensors"))]


def words(command: list) -> list[str]:
    return [str(word) for word in command]


def run(command: list) -> None:
    """Runs a program quietly; says what it said if it fails."""
    done = subprocess.run(words(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words(command))}\n{done.stdout}")
