"""The runtime's own accelerator, for a child process of the tests: it loads GPU libraries even for the CPU."""

import json

import numpy as np

from daemon.inference.accelerator_main import CompiledNetwork


def compute(model: str, source: str) -> None:
    """Print the output of the runtime's accelerator for the CPU as JSON. `model` is one of the `models` of `serve`."""
    spec = json.loads(model)
    target = np.zeros(spec["output"]["shape"], spec["output"]["dtype"])
    network = CompiledNetwork(spec, "CPU")
    for _ in range(2):
        network.run(np.array(json.loads(source), spec["input"]["dtype"]), target)
    print(json.dumps(target.tolist()))
