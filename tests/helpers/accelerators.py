"""Accelerators of the tests: the tests' own delegate, asked for by a config's `devices`, or by hand."""

import threading
from pathlib import Path

import numpy as np

from daemon.bundle.manifest import TensorSpec
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.core.records import Array
from daemon.core.timing import NS_PER_S, Backoff
from daemon.inference.accelerator import Accelerator, FallbackModel
from daemon.inference.accelerator_process import AcceleratorModel
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import Device
from daemon.inference.upkeep import Upkeep
from daemon.inference.verification import Workload
from tests.helpers.mosquitto import wait_until
from tests.inference.layers import write_layer

INPUT = TensorSpec(shape=[1, 6], dtype="float32")
OUTPUT = TensorSpec(shape=[1, 3], dtype="float32")
WEIGHTS = np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)
# How many invokes the verification of one small model takes: its two test inputs, then sixteen more.
VERIFIED = 18

AT_ONCE = Backoff(0.001, 0.002)


def delegate_device(library: Path, **options: object) -> Device:
    """The delegate with these options."""
    return Device("test", "delegate", str(library), tuple((key, str(value)) for key, value in options.items()))


def delegate_config(library: Path, check_every_s: float = 1.0, **options: object) -> DevicesConfig:
    """The same for all encoders of a node."""
    texts = {key: str(value) for key, value in options.items()}
    return DevicesConfig(default=DelegateConfig(library=str(library), options=texts), check_every_s=check_every_s)


class SmallAccelerator:
    """One small model of a single layer on the delegate, and what it must compute. A context manager."""

    def __init__(
        self,
        directory: Path,
        device: Device,
        *,
        check_every_s: float = 3600.0,
        upkeep: Upkeep | None = None,
        backoff: Backoff = AT_ONCE,
    ) -> None:
        path = directory / "small.tflite"
        path.write_bytes(write_layer(WEIGHTS, None, rows=1))
        cpu = TfliteModel(path, INPUT, [OUTPUT])
        test_inputs = np.random.default_rng(6).normal(size=(2, 1, 6)).astype(np.float32)
        work = Workload("image", AcceleratorModel(path, INPUT, OUTPUT), cpu, list(test_inputs))
        self.accelerator = Accelerator(
            device,
            [work],
            check_every_ns=round(check_every_s * NS_PER_S),
            upkeep=upkeep,
            backoff=Backoff(backoff.first_s, backoff.longest_s),
        )
        self.model = FallbackModel(self.accelerator, 0, cpu)
        self._random = np.random.default_rng(7)
        self.changed = threading.Event()

    def __enter__(self) -> "SmallAccelerator":
        self.accelerator.start(self.changed.set)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.accelerator.close(10)

    def wait_for(self, state: str) -> None:
        """Until it has come to a state."""
        wait_until(lambda: self.accelerator.status.state == state, f"{state}: {self.accelerator.status}")

    def compute(self) -> str:
        """Compute one random input, and return the device that did. The output must be right."""
        source = self._random.normal(size=(1, 6)).astype(np.float32)
        self.model.input[...] = source
        (output,) = self.model.invoke()
        assert_right(source, output)
        return self.model.device

    def failures(self, kind: str) -> int:
        """How often it has failed in this way."""
        return dict(self.accelerator.status.failures).get(kind, 0)


def assert_right(source: Array, output: Array) -> None:
    """The output is the layer's, to the precision of float32."""
    np.testing.assert_allclose(output, source @ WEIGHTS.T, rtol=1e-4, atol=1e-5)
