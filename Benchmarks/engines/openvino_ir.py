"""OpenVINO on its CPU plugin, from an IR with float32 weights."""

import openvino
from safetensors.numpy import load_file

from engines.protocol import Forward, arguments, serve

CONFIGURATION = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
    "NUM_STREAMS": "1",
}


def load(options) -> Forward:
    model = openvino.Core().compile_model(
        options.model, "CPU", {**CONFIGURATION, "INFERENCE_NUM_THREADS": options.threads})
    tensors = load_file(options.inputs)
    # A port has every name that conversion left it with, ours among them.
    inputs = {port: tensors[name]
              for port in model.inputs for name in port.names if name in tensors}
    request = model.create_infer_request()

    def forward():
        return request.infer(inputs, share_inputs=True)[0]

    return forward


if __name__ == "__main__":
    options = arguments(__doc__)
    serve(lambda: load(options), options.output)
