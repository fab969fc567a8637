"""Write a network as ONNX or as OpenVINO's IR, for the shapes of one inputs file.

Runs in a process of its own, so that what an export takes (SDXL: 21 GB) is given back before
anything is measured.
"""

import argparse
import warnings
from pathlib import Path

import torch

from networks import load_network, read_inputs


def to_onnx(network, inputs, file: Path) -> None:
    torch.onnx.export(
        network, tuple(inputs.values()), str(file), input_names=list(inputs),
        output_names=["output"],
        opset_version=17, dynamo=False)


def to_openvino(network, inputs, file: Path) -> None:
    import openvino

    # Traced here, because OpenVINO's own tracing runs the network several times over as a check.
    traced = torch.jit.trace(
        network, tuple(inputs.values()), check_trace=False, strict=False)
    model = openvino.convert_model(traced, input=[list(each.shape) for each in inputs.values()])
    for port, name in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(model, file, compress_to_fp16=False)


FORMATS = {"onnx": to_onnx, "xml": to_openvino}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="ends in .onnx or .xml")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Tracing warns of every shape it fixes: fixed is what we want.
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        FORMATS[options.output.suffix[1:]](
            load_network(options.kind, options.model), read_inputs(options.kind, options.inputs),
            options.output)


if __name__ == "__main__":
    main()
