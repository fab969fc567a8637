"""PyTorch eager, as diffusers runs it."""

import torch

from engines.protocol import Forward, arguments, serve
from networks import load_network, read_inputs


def load(options) -> Forward:
    torch.set_num_threads(options.threads)
    network = load_network(options.kind, options.model)
    inputs = read_inputs(options.kind, options.inputs)
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
        inputs = {name: tensor.contiguous(memory_format=torch.channels_last)
                  if tensor.dim() == 4 else tensor for name, tensor in inputs.items()}

    def forward():
        with torch.inference_mode():
            return network(**inputs)[0].numpy()

    return forward


if __name__ == "__main__":
    options = arguments(__doc__, channels_last="weights and activations in channels_last")
    serve(lambda: load(options), options.output)
