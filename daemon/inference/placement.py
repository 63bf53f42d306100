"""Decides which device runs an encoder: from the config, the bundle, and the hardware of this machine."""

from collections.abc import Sequence
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
class EdgetpuModel:
    """An encoder's model for an Edge TPU. It lacks the outputs `lacks`, and the head uses those of them in `needed`."""

    lacks: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an encoder runs. `requested` is the config's choice; `device` is None for the CPU.

    `reason` says why the CPU runs the encoder although the config requests, or `auto` might take, another device.
    `absent_outputs` are the encoder's outputs that the device does not give.
    """

    requested: str
    device: Device | None = None
    reason: str | None = None
    absent_outputs: tuple[str, ...] = ()

    @property
    def absence(self) -> str | None:
        """A message about the outputs that the device does not give."""
        if not self.absent_outputs:
            return None
        their = "its" if len(self.absent_outputs) == 1 else "their"
        return f"the model for an Edge TPU lacks {_outputs(self.absent_outputs)}; zeros stand in {their} place"


def detect_machine(root: Path = Path("/")) -> Machine:
    """Return the accelerators of this machine. `root` holds /sys, /dev, /etc and /proc."""
    # `auto` takes a Jetson's GPU only: other GPUs are mostly slower than the CPU beside them.
    return Machine(tuple(edge_tpus(root)), jetson_release(root) is not None and bool(gpu_nodes(root)))


def place(
    choice: DeviceSelection,
    machine: Machine,
    *,
    compiled: EdgetpuModel | None,
    gpu_delegate: DelegateConfig | None,
) -> Placement:
    """Return where an encoder runs. `compiled` is its model for an Edge TPU; None: the bundle has none."""
    if isinstance(choice, DelegateConfig):
        name = Path(choice.library).name
        device = Device(name, "delegate", choice.library, _sorted_options(choice))
        return _on_edge_tpu(name, device, compiled) if device.is_edgetpu and compiled else Placement(name, device)
    if choice == "auto":
        return _automatic(machine, compiled, gpu_delegate)
    if choice == "gpu":
        return Placement(choice, _gpu(gpu_delegate))
    if choice.startswith("edgetpu"):
        if compiled is None:
            return Placement(choice, reason="the bundle has no model of this encoder that is compiled for an Edge TPU")
        return _on_edge_tpu(choice, edgetpu(_edge_tpu_address(choice, machine)), compiled)
    return Placement(choice)


def _automatic(machine: Machine, compiled: EdgetpuModel | None, gpu_delegate: DelegateConfig | None) -> Placement:
    by_edge_tpu: Placement | None = None
    if machine.edge_tpus:
        by_edge_tpu = Placement("auto", reason="there is an Edge TPU, but the bundle has no model compiled for it")
        if compiled is not None:
            by_edge_tpu = _on_edge_tpu("auto", edgetpu(machine.edge_tpus[0].device), compiled)
    if machine.has_gpu and (by_edge_tpu is None or by_edge_tpu.device is None):
        return Placement("auto", _gpu(gpu_delegate))
    return by_edge_tpu or Placement("auto")


def _on_edge_tpu(requested: str, device: Device, compiled: EdgetpuModel) -> Placement:
    """Return the placement on an Edge TPU, or on the CPU where the head uses what the model for it lacks."""
    if compiled.needed:
        uses = f"the head uses {_outputs(compiled.needed)}, which the model for an Edge TPU lacks"
        return Placement(requested, reason=uses)
    return Placement(requested, device, absent_outputs=compiled.lacks)


def _outputs(names: Sequence[str]) -> str:
    return f"the output {names[0]}" if len(names) == 1 else f"the outputs {' and '.join(names)}"


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
