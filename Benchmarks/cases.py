"""What is compared: cases, and the engines that run them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """A peer: a module of `engines/` that speaks the protocol."""

    name: str
    module: str
    package: str
    # What it loads: a model folder, or an export with this suffix.
    suffix: str | None = None
    flags: tuple[str, ...] = ()


TESSERA = "Tessera"
# What all answers are compared with.
REFERENCE = "PyTorch"

PEERS = (
    Engine(REFERENCE, "engines.pytorch", "torch"),
    Engine("PyTorch channels_last", "engines.pytorch", "torch", flags=("--channels-last",)),
    Engine("OpenVINO", "engines.openvino_ir", "openvino", suffix=".xml"),
    Engine("ONNX Runtime", "engines.onnx_runtime", "onnxruntime", suffix=".onnx"),
)


@dataclass(frozen=True)
class Case:
    """One network at one size."""

    name: str
    kind: str
    # A preset of `tessera synthesize`, or None for the model that ships with Tessera.
    preset: str | None
    # None for networks without a picture.
    latent: str | None
    batch: int = 1
    # Forwards in one turn of one engine; the median counts.
    burst: int = 1
    # All engines stay loaded and take turns; otherwise each turn is a process of its own, for
    # networks that do not fit into memory side by side.
    together: bool = True
    peers: tuple[Engine, ...] = PEERS


def without(name: str) -> tuple[Engine, ...]:
    return tuple(engine for engine in PEERS if engine.name != name)


CASES = (
    Case("mini-b1", "unet", "mini", "32x32", burst=15),
    Case("mini-b8", "unet", "mini", "32x32", batch=8, burst=5),
    Case("default-b1", "unet", None, "16x16", burst=50),
    Case("default-b8", "unet", None, "16x16", batch=8, burst=15),
    Case("sd15", "unet", "sd15", "64x64", burst=2, together=False),
    Case("sdxl-text", "text", "sdxl", None, burst=5, together=False,
         peers=without("PyTorch channels_last")),
    Case("sdxl-vae", "vae", "sdxl", "128x128", together=False),
    # Without ONNX Runtime: its copy of the weights beside the file is not known to fit into 24 GiB.
    Case("sdxl", "unet", "sdxl", "128x128", together=False, peers=without("ONNX Runtime")),
)
