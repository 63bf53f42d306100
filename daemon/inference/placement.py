"""Decides which device runs an encoder: from the config, the bundle, and the hardware of this machine."""

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

    `name` is the name in recognitions and in the health message. Kind `gpu` is the runtime's own GPU accelerator. Kind
    `delegate` is a `library` with the ABI of TFLite's external delegates, which gets `options`. `alternative` reaches
    the same device in another way; it is tried when this one does not load.
    """

    name: str
    kind: Kind
    library: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    alternative: "Device | None" = None

    @property
    def is_edgetpu(self) -> bool:
        """Whether the device runs models compiled for an Edge TPU. Recognises libedgetpu under any path."""
        return self.library is not None and PurePath(self.library).name.startswith("libedgetpu.so")


# The CPU in a child process. It only serves to measure what the isolation costs, and to test the process.
CPU_DEVICE = Device(CPU, "cpu")


def edgetpu(address: str) -> Device:
    """Return an Edge TPU by its address, written as libedgetpu takes it: usb:0, pci:0."""
    return Device(f"edgetpu:{address}", "delegate", EDGETPU_LIBRARY, (("device", address),))


@dataclass(frozen=True, slots=True)
class Machine:
    """The accelerators of a machine. `has_gpu` is true for a GPU that `auto` takes."""

    edge_tpus: tuple[EdgeTpu, ...] = ()
    has_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an encoder runs. `requested` is the config's choice; `device` is None for the CPU.

    `reason` says why the CPU runs the encoder although the config requests, or `auto` might take, another device.
    """

    requested: str
    device: Device | None = None
    reason: str | None = None


def detect_machine(root: Path = Path("/")) -> Machine:
    """Return the accelerators of this machine. `root` holds /sys, /dev, /etc and /proc."""
    # `auto` takes a Jetson's GPU only: other GPUs are mostly slower than the CPU beside them.
    return Machine(tuple(edge_tpus(root)), jetson_release(root) is not None and bool(gpu_nodes(root)))


def place(
    choice: DeviceSelection, machine: Machine, *, is_compiled: bool, gpu_delegate: DelegateConfig | None
) -> Placement:
    """Return where an encoder runs. `is_compiled`: the bundle has a model of the encoder for an Edge TPU too."""
    if isinstance(choice, DelegateConfig):
        name = Path(choice.library).name
        return Placement(name, Device(name, "delegate", choice.library, _sorted_options(choice)))
    if choice == "auto":
        return _automatic(machine, is_compiled, gpu_delegate)
    if choice == "gpu":
        return Placement(choice, _gpu(gpu_delegate))
    if choice.startswith("edgetpu"):
        if not is_compiled:
            return Placement(choice, reason="the bundle has no model of this encoder that is compiled for an Edge TPU")
        return Placement(choice, edgetpu(_edge_tpu_address(choice, machine)))
    return Placement(choice)


def _automatic(machine: Machine, is_compiled: bool, gpu_delegate: DelegateConfig | None) -> Placement:
    if machine.edge_tpus and is_compiled:
        return Placement("auto", edgetpu(machine.edge_tpus[0].device))
    if machine.has_gpu:
        return Placement("auto", _gpu(gpu_delegate))
    if machine.edge_tpus:
        return Placement("auto", reason="there is an Edge TPU, but the bundle has no model compiled for it")
    return Placement("auto")


def _edge_tpu_address(choice: str, machine: Machine) -> str:
    """Return the full address, so that one Edge TPU has one name. Without a bus and a match here it is usb:0."""
    _, _, address = choice.partition(":")
    if address:
        return address if ":" in address else f"{address}:0"
    return machine.edge_tpus[0].device if machine.edge_tpus else "usb:0"


def _gpu(delegate: DelegateConfig | None) -> Device:
    """Return the runtime's own GPU accelerator, with the configured library as the alternative."""
    by_library = None if delegate is None else Device("gpu", "delegate", delegate.library, _sorted_options(delegate))
    return Device("gpu", "gpu", alternative=by_library)


def _sorted_options(delegate: DelegateConfig) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(delegate.options.items()))
