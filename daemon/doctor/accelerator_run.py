"""What a run of a bundle's self-test on an accelerator says about the accelerator. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.errors import FaultKind
from daemon.core.records import Modality
from daemon.doctor.edgetpu import INSTALL_REMEDY
from daemon.doctor.finding import Finding
from daemon.doctor.libraries import Installed
from daemon.inference.accelerator_status import StatusChange
from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.inference.placement import Device
from daemon.pipeline.selftest import first_failures

# the input of an encoder
INPUT_NAMES: dict[Modality, str] = {"image": "picture", "audio": "patch of sound", "text": "line of text"}

GPU_NAME = "the runtime's own GPU accelerator"

CPU_REMEDY = "set devices to cpu in config.yaml"

# what to do about an accelerator that has hung depends on where it is
REMEDIES: dict[FaultKind, str] = {
    "absent": "plug it in",
    "refused": "check its library and options, and stop other programs that use it, such as a running perceptd",
    "died": "update its library or driver",
    "slow": "check whether it is too hot, or used by another program",
    "wrong": "update its library or driver",
}


@dataclass(frozen=True, slots=True)
class EncoderCounts:
    """The inputs of one encoder in a run: how many the accelerator computed, and how many the CPU.

    `p50_ns` is the median time of the accelerator for one input.
    """

    encoder: str
    modality: Modality
    on_accelerator: int = 0
    on_cpu: int = 0
    p50_ns: int | None = None


@dataclass(frozen=True, slots=True)
class AcceleratorRun:
    """One run of the self-test on an accelerator: the changes of its state, and the inputs by encoder.

    If the accelerator was in use, the self-test took `seconds` and had `failures`.
    `is_closed` is False if its process could not be ended.
    """

    device: Device
    history: Sequence[StatusChange]
    encoders: Sequence[EncoderCounts]
    seconds: float = 0.0
    failures: Sequence[str] = ()
    is_closed: bool = True


def assess_run(run: AcceleratorRun, have: Installed) -> Finding:
    """The finding of a run. A warning at worst, because the CPU replaces an accelerator that fails."""
    check = f"self-test {run.device.name}"
    faults, unresolved = _faults(run)
    details = f" ({'; '.join(faults)})" if faults else ""
    if not run.is_closed:
        remedy = f"{_again(run.device)}, or {CPU_REMEDY}"
        return Finding(check, "warning", f"its process hangs in the system, and cannot be ended{details}", remedy)
    if unresolved is not None:
        remedy = f"{_remedy(unresolved, run.device, have)}, or {CPU_REMEDY}; until then the CPU computes"
        return Finding(check, "warning", "; ".join(faults), remedy)
    if (doubt := _doubt(run)) is not None:
        found, remedy = doubt
        return Finding(check, "warning", f"{found}{details}", remedy)
    times = [_time(counts) for counts in run.encoders if counts.p50_ns is not None]
    parts = [f"passed in {run.seconds * 1000:.0f} ms", ", ".join(times), *faults]
    return Finding(check, "good", "; ".join(parts))


def _time(counts: EncoderCounts) -> str:
    by = "" if counts.encoder == counts.modality else f" by {counts.encoder}"
    return f"{(counts.p50_ns or 0) / 1e6:.1f} ms a {INPUT_NAMES[counts.modality]}{by}"


def ways_to(device: Device) -> list[Device]:
    """The ways to reach the device, in the order in which they are tried."""
    return [device] if device.alternative is None else [device, device.alternative]


def was_used(history: Sequence[StatusChange]) -> bool:
    """Whether the accelerator was in use."""
    return any(change.state == "in_use" for change in history)


def _faults(run: AcceleratorRun) -> tuple[list[str], StatusChange | None]:
    """The text of each fault, and the last fault unless another way to reach the device worked."""
    states = [change.state for change in run.history]
    faults = [change for change in run.history if change.state in ("failed", "absent")]
    ways = ways_to(run.device)
    texts = [_fault_text(ways[min(number, len(ways) - 1)], fault) for number, fault in enumerate(faults)]
    resolved = states.index("in_use") if "in_use" in states else 0
    return texts, faults[-1] if len(faults) > resolved else None


def _fault_text(way: Device, fault: StatusChange) -> str:
    library, reason = way.library or GPU_NAME, fault.reason or ""
    if fault.signal_name is not None:
        return f"{library} crashed: {fault.signal_name}"
    return reason if library in reason or fault.state == "absent" else f"{library}: {reason}"


def _remedy(fault: StatusChange, device: Device, have: Installed) -> str:
    has_crashed = fault.signal_name is not None
    if device.library == EDGETPU_LIBRARY and has_crashed:
        return INSTALL_REMEDY
    if device.library == EDGETPU_LIBRARY and fault.kind == "refused":
        return "see libedgetpu above, and stop other programs that use it, such as a running perceptd"
    if has_crashed:
        return f"it may be made for another runtime than {have.runtime} {have.runtime_version}: install one that fits"
    if device.kind == "gpu" and device.alternative is None and fault.kind == "refused":
        return "name a delegate for it under devices: gpu_delegate"
    if fault.kind == "hung":
        return f"{_again(device)}, and check its power supply"
    return REMEDIES[fault.kind or "absent"]


def _again(device: Device) -> str:
    """How a device begins anew: a GPU, and an Edge TPU on PCI, have no plug."""
    is_fixed = device.kind == "gpu" or device.name.startswith("edgetpu:pci")
    return "reboot" if is_fixed else "plug it in again or reboot"


def _doubt(run: AcceleratorRun) -> tuple[str, str] | None:
    """A problem that is no fault of the accelerator's process, and its remedy."""
    if not was_used(run.history):
        return "neither works nor fails within minutes", CPU_REMEDY
    if run.failures:
        return first_failures(run.failures), f"{REMEDIES['wrong']}, or {CPU_REMEDY}"
    for counts in run.encoders:
        total = counts.on_accelerator + counts.on_cpu
        if counts.on_cpu:
            found = f"{counts.encoder}: the CPU computed {counts.on_cpu} of {total}"
            return found, f"{REMEDIES['slow']}, or {CPU_REMEDY}"
        if total == 0:
            found = f"the self-test has no {INPUT_NAMES[counts.modality]}"
            return found, "add a case with one to the bundle's selftest/cases.yaml"
    return None
