"""Which device runs an encoder: from what the config says, what the bundle has, and what is there."""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from daemon.config.devices import DelegateConfig, DeviceSelection
from daemon.core.records import CPU
from daemon.inference.hardware import EDGETPU_LIBRARY, EdgeTpu, edge_tpus, gpu_nodes, jetson_release

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


@dataclass(frozen=True, slots=True)
class Machine:
    """What of accelerators is there; `has_gpu`: one that `auto` takes."""

    edge_tpus: tuple[EdgeTpu, ...] = ()
    has_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """What was `wanted`, as the config says it, and what came of it; None: the CPU.

    `reason` says why it is the CPU where something else was wanted, or might be expected.
    """

    wanted: str
    device: Device | None = None
    reason: str | None = None


def look_around(root: Path = Path("/")) -> Machine:
    """What is there. Only a Jetson's GPU is taken unasked: others are mostly slower than the CPU beside them."""
    return Machine(tuple(edge_tpus(root)), jetson_release(root) is not None and bool(gpu_nodes(root)))


def place(
    choice: DeviceSelection, machine: Machine, *, is_compiled: bool, gpu_delegate: DelegateConfig | None
) -> Placement:
    """Where an encoder goes; `is_compiled`: the bundle has its model for an Edge TPU too."""
    if isinstance(choice, DelegateConfig):
        name = Path(choice.library).name
        return Placement(name, Device(name, "delegate", choice.library, _pairs(choice)))
    if choice == "auto":
        return _automatic(machine, is_compiled, gpu_delegate)
    if choice == "gpu":
        return Placement(choice, _gpu(gpu_delegate))
    if choice.startswith("edgetpu"):
        if not is_compiled:
            return Placement(choice, reason="the bundle has no model of this encoder that is compiled for an Edge TPU")
        return Placement(choice, edgetpu(_which(choice, machine)))
    return Placement(choice)


def _automatic(machine: Machine, is_compiled: bool, gpu_delegate: DelegateConfig | None) -> Placement:
    if machine.edge_tpus and is_compiled:
        return Placement("auto", edgetpu(machine.edge_tpus[0].device))
    if machine.has_gpu:
        return Placement("auto", _gpu(gpu_delegate))
    if machine.edge_tpus:
        return Placement("auto", reason="there is an Edge TPU, but the bundle has no model compiled for it")
    return Placement("auto")


def _which(choice: str, machine: Machine) -> str:
    """One physical Edge TPU has one name, however it is asked for; one that is not there is looked for on USB."""
    _, _, where = choice.partition(":")
    if where:
        return where if ":" in where else f"{where}:0"
    return machine.edge_tpus[0].device if machine.edge_tpus else "usb:0"


def _gpu(delegate: DelegateConfig | None) -> Device:
    """The runtime's own way, and the configured library where that does not work."""
    by_library = None if delegate is None else Device("gpu", "delegate", delegate.library, _pairs(delegate))
    return Device("gpu", "gpu", instead=by_library)


def _pairs(delegate: DelegateConfig) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(delegate.options.items()))
