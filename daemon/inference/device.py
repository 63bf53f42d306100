"""What can run a model besides the CPU."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.records import CPU

Kind = Literal["cpu", "gpu", "delegate"]


@dataclass(frozen=True, slots=True)
class Device:
    """One device and how to reach it.

    `delegate` is a library with the ABI of TFLite's external delegates, asked for with `options`; `gpu` the runtime's
    own GPU accelerator. `name` is what recognitions and health call it. `instead` is another way to the same device,
    taken where this one does not load.
    """

    name: str
    kind: Kind
    library: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    instead: "Device | None" = None

    @property
    def is_edgetpu(self) -> bool:
        """Whether it runs models that are compiled for an Edge TPU, by its own name or as a library."""
        return self.library is not None and PurePath(self.library).name.startswith("libedgetpu.so")


PROCESSOR = Device(CPU, "cpu")
"""The CPU, in a process of its own: to measure what the isolation costs, and for nothing else."""


def edgetpu(where: str) -> Device:
    """An Edge TPU; `where` as libedgetpu takes it: usb:0, pci:0."""
    return Device(f"edgetpu:{where}", "delegate", EDGETPU_LIBRARY, (("device", where),))
