"""ONNX Runtime on its CPU provider, every graph optimisation on."""

import onnxruntime
from safetensors.numpy import load_file

from engines.protocol import Forward, arguments, serve


def load(options) -> Forward:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        options.model, settings, providers=["CPUExecutionProvider"])
    tensors = load_file(options.inputs)
    inputs = {port.name: tensors[port.name] for port in session.get_inputs()}

    def forward():
        return session.run(None, inputs)[0]

    return forward


if __name__ == "__main__":
    options = arguments(__doc__)
    serve(lambda: load(options), options.output)
