"""What came of the self-test on an accelerator, in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from daemon.doctor.edgetpu import INSTALL
from daemon.doctor.finding import Finding
from daemon.doctor.versions import Installed
from daemon.errors import ENDED_BY, FaultKind
from daemon.inference.device import Device
from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.inference.past import Change
from daemon.records import Modality
from daemon.selftest import failures_in_short

CPU_INSTEAD = "set devices to cpu in config.yaml"

ONE: dict[Modality, str] = {"image": "picture", "audio": "patch of sound", "text": "line of text"}
"""What an encoder takes at a time."""

GPU = "the runtime's own GPU accelerator"

REMEDIES: dict[FaultKind, str] = {
    "absent": "plug it in",
    "refused": "check its library and options, and stop what else uses it, such as a running perceptd",
    "died": "update its library or driver",
    "hung": "plug it in again or reboot, and see that its power supply suffices",
    "slow": "see whether it is too hot, or something else uses it",
    "wrong": "update its library or driver",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One encoder's inputs during the self-test: how many the accelerator computed, how many the CPU instead.

    `p50_ns` is how long one takes on the accelerator, half the time at least.
    """

    modality: Modality
    ran: int = 0
    on_cpu: int = 0
    p50_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An accelerator's changes, and, if it came to be in use, what the self-test found `wrong` and its `seconds`."""

    device: Device
    history: Sequence[Change]
    parts: Sequence[Part]
    seconds: float = 0.0
    wrong: Sequence[str] = ()
    is_closed: bool = True


def ways(device: Device) -> list[Device]:
    """The device, and the other way to it, in the order in which they are tried."""
    return [device] if device.instead is None else [device, device.instead]


def is_late(attempt: Attempt) -> bool:
    """Whether it worked until an answer came late."""
    states = [change.state for change in attempt.history]
    return "in_use" in states and attempt.history[-1].kind in ("hung", "slow")


def judge(attempt: Attempt, have: Installed) -> Finding:
    """A warning at worst: the CPU computes what an accelerator does not."""
    check = f"self-test {attempt.device.name}"
    told, worst = _faults(attempt)
    after = f" ({'; '.join(told)})" if told else ""
    if not attempt.is_closed:
        remedy = f"plug it in again or reboot, or {CPU_INSTEAD}"
        return Finding(check, "warning", f"its process hangs in the system, and cannot be ended{after}", remedy)
    if worst is not None:
        remedy = f"{_remedy(worst, attempt.device, have)}, or {CPU_INSTEAD}; until then the CPU computes"
        return Finding(check, "warning", "; ".join(told), remedy)
    if (doubt := _doubt(attempt)) is not None:
        found, remedy = doubt
        return Finding(check, "warning", f"{found}{after}", remedy)
    paces = [f"{part.p50_ns / 1e6:.1f} ms a {ONE[part.modality]}" for part in attempt.parts if part.p50_ns is not None]
    return Finding(check, "good", "; ".join([f"good in {attempt.seconds * 1000:.0f} ms", ", ".join(paces), *told]))


def _faults(attempt: Attempt) -> tuple[list[str], Change | None]:
    """Each fault in words, with the library whose it is; and the last, unless another way has got round it."""
    history = attempt.history
    until_used = list(takewhile(lambda change: change.state != "in_use", history))
    faults = [change for change in history if change.state in ("failed", "absent")]
    both = ways(attempt.device)
    told = [_told(both[min(number, len(both) - 1)], fault) for number, fault in enumerate(faults)]
    is_used = len(until_used) < len(history)
    got_round = len(until_used) if is_used else 0
    return told, faults[-1] if len(faults) > got_round else None


def _told(way: Device, fault: Change) -> str:
    library, reason = way.library or GPU, fault.reason or ""
    _, crashed, signal_name = reason.partition(ENDED_BY)
    if crashed:
        return f"{library} crashed: {signal_name}"
    return reason if library in reason or fault.state == "absent" else f"{library}: {reason}"


def _remedy(fault: Change, device: Device, have: Installed) -> str:
    is_crash = ENDED_BY in (fault.reason or "")
    if device.library == EDGETPU_LIBRARY and (is_crash or "cannot be loaded" in (fault.reason or "")):
        return INSTALL
    if is_crash:
        return f"it may be made for another runtime than {have.runtime} {have.runtime_version}: install one that fits"
    if device.kind == "gpu" and device.instead is None and fault.kind == "refused":
        return "name a delegate for it under devices: gpu_delegate"
    return REMEDIES[fault.kind or "absent"]


def _doubt(attempt: Attempt) -> tuple[str, str] | None:
    """What is wrong although no fault is known, and what to do."""
    if not any(change.state == "in_use" for change in attempt.history):
        return "is neither in use nor refused, after minutes", CPU_INSTEAD
    if attempt.wrong:
        return failures_in_short(attempt.wrong), f"{REMEDIES['wrong']}, or {CPU_INSTEAD}"
    for part in attempt.parts:
        if part.on_cpu:
            found = f"{part.modality}: the CPU computed {part.on_cpu} of {part.ran + part.on_cpu}"
            return found, f"{REMEDIES['slow']}, or {CPU_INSTEAD}"
        if not part.ran:
            return (
                f"the self-test has no {ONE[part.modality]}",
                "add a case with one to the bundle's selftest/cases.yaml",
            )
    return None
