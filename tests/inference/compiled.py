"""The runtime's own accelerator, for a child process of the tests: it loads GPU libraries even for the CPU."""

import json

import numpy as np

from daemon.inference.accelerator_main import CompiledNetwork


def compute(model: str, source: str) -> None:
    """Print the outputs of the runtime's accelerator for the CPU as JSON. `model` is one of the `models` of `serve`."""
    spec = json.loads(model)
    targets = [np.zeros(output["shape"], output["dtype"]) for output in spec["outputs"]]
    network = CompiledNetwork(spec, "CPU")
    for _ in range(2):
        network.run(np.array(json.loads(source), spec["input"]["dtype"]), targets)
    print(json.dumps([target.tolist() for target in targets]))
