"""The runtime's own accelerator, in a child process of the tests: it loads GPU libraries whatever it is asked for."""

import json

import numpy as np

from daemon.inference.accelerator_main import compiled


def compute(model: str, question: str) -> None:
    """Print what the runtime's accelerator for the CPU makes of an input, as JSON; `model` is what `served` is told."""
    wanted = json.loads(model)
    answer = np.zeros(wanted["output"]["shape"], wanted["output"]["dtype"])
    run = compiled(wanted, "CPU")
    for _ in range(2):
        run(np.array(json.loads(question), wanted["input"]["dtype"]), answer)
    print(json.dumps(answer.tolist()))
