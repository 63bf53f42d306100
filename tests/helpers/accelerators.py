"""Accelerators on the delegate of tests/delegate, as devices, as a config's `devices`, or with one small model."""

import threading
from pathlib import Path

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.core.records import Array
from daemon.core.sealed import SealedFile
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
OUTPUTS = {"output": OUTPUT}
WEIGHTS = np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)
# invokes of one small model while it is verified: two inputs with known outputs, then sixteen for the throughput
VERIFIED = 18

AT_ONCE = Backoff(0.001, 0.002)


def delegate_device(library: Path, **options: object) -> Device:
    """Return the delegate with these options as a device."""
    return Device("test", "delegate", str(library), tuple((key, str(value)) for key, value in options.items()))


def delegate_config(library: Path, check_every_s: float = 1.0, **options: object) -> DevicesConfig:
    """Return a config's `devices` with the delegate for all encoders."""
    texts = {key: str(value) for key, value in options.items()}
    return DevicesConfig(default=DelegateConfig(library=str(library), options=texts), check_every_s=check_every_s)


class SmallAccelerator:
    """A model of one layer on the delegate; its outputs are checked. A context manager."""

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
        file = SealedFile(path)
        cpu = TfliteModel(file, INPUT, [OUTPUT])
        test_inputs = np.random.default_rng(6).normal(size=(2, 1, 6)).astype(np.float32)
        work = Workload("image", AcceleratorModel(file, INPUT, OUTPUTS), cpu, list(test_inputs), list(OUTPUTS))
        self.accelerator = Accelerator(
            device,
            [work],
            check_every_ns=round(check_every_s * NS_PER_S),
            upkeep=upkeep,
            backoff=Backoff(backoff.first_s, backoff.longest_s),
        )
        self.model = FallbackModel(self.accelerator, 0, work)
        self._random = np.random.default_rng(7)
        self.changed = threading.Event()

    def __enter__(self) -> "SmallAccelerator":
        self.accelerator.start(self.changed.set)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.accelerator.close(10)

    def wait_for(self, state: str) -> None:
        """Wait until the accelerator is in a state."""
        wait_until(lambda: self.accelerator.status.state == state, f"{state}: {self.accelerator.status}")

    def compute(self) -> str:
        """Compute one random input and check the output; return the device that computed it."""
        random_input = self._random.normal(size=(1, 6)).astype(np.float32)
        self.model.input[...] = random_input
        (output,) = self.model.invoke()
        assert_correct(random_input, output)
        return self.model.device

    def failures(self, kind: str) -> int:
        """Return the number of failures of this kind."""
        return dict(self.accelerator.status.failures).get(kind, 0)


def assert_correct(model_input: Array, output: Array) -> None:
    """Fail unless the output is the layer's, to the precision of float32."""
    np.testing.assert_allclose(output, model_input @ WEIGHTS.T, rtol=1e-4, atol=1e-5)
