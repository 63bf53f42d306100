"""Finds accelerators, and tries each with a small model, in a child process that may crash."""

import dataclasses
import json
import tempfile

import numpy as np

from daemon.core.errors import ChildError
from daemon.inference.hardware import EdgeTpu
from daemon.inference.placement import Device, Machine, detect_machine, edgetpu
from daemon.runtime.child import Child
from daemon.setup.found import FoundAccelerator

# An Edge TPU on USB takes five seconds to load its firmware, and a slow card many to read TFLite.
LOAD_S = 60.0

REMEDY = "perceptd doctor says what to do; until then the CPU computes"

# The head of one encoder with two numbers and two labels: each device can compute it.
FEATURES, LABELS = 3, 2


def accelerators(machine: Machine | None = None) -> list[FoundAccelerator]:
    """Return the accelerators of this machine that `devices: auto` would take, and whether they work.

    Takes a minute for one that hangs.
    """
    present = machine or detect_machine()
    found = [try_device(edgetpu(tpu.device), _name(tpu)) for tpu in present.edge_tpus]
    return found + ([try_device(Device("gpu", "gpu"), "GPU of the Jetson")] if present.has_gpu else [])


def try_device(device: Device, name: str) -> FoundAccelerator:
    """Return the accelerator, and whether a model runs on it."""
    try:
        with Child(run_small_model, json.dumps(dataclasses.asdict(device))) as child:
            child.result(LOAD_S)
    except ChildError as error:
        return FoundAccelerator(device.name, name, works=False, problem=f"{error}; {REMEDY}")
    return FoundAccelerator(device.name, name, works=True)


def run_small_model(device: str) -> None:
    """In a child process: run a model on a device, which is JSON. Raises Failed when the device refuses."""
    # these load TFLite
    from daemon.inference.accelerator_main import load_network
    from daemon.inference.graphs import write_head

    weights = np.ones((LABELS, FEATURES), np.float32)
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(write_head(weights, np.zeros(LABELS, np.float32), [FEATURES - 1]))
        file.flush()
        shapes = [[1, LABELS], [1, 1, LABELS]]
        model = {
            "path": file.name,
            "name": "a small model",
            "input": _tensor([1, FEATURES]),
            "outputs": [_tensor(shape) for shape in shapes],
        }
        network = load_network(json.loads(device), model)
        network.run(np.ones((1, FEATURES), np.float32), [np.zeros(shape, np.float32) for shape in shapes])


def _tensor(shape: list[int]) -> dict[str, object]:
    return {"shape": shape, "dtype": "float32", "scale": None, "zero_point": None}


def _name(tpu: EdgeTpu) -> str:
    return f"Edge TPU on {'PCI' if tpu.usb_id is None else 'USB'}"
