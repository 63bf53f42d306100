"""Runs a bundle's self-test on each accelerator that a config's `devices` asks for, one after another."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, FaultKind, Refused
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.doctor.edgetpu import INSTALL
from daemon.doctor.finding import Finding, tried
from daemon.doctor.libraries import Installed, installed
from daemon.inference.accelerator import LOAD_S, Accelerator
from daemon.inference.accelerator_status import Change
from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.inference.placement import Device, Placement, look_around
from daemon.pipeline.acceleration import accelerate, placements_of
from daemon.pipeline.offline import failures_in_short, selftest
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.runtime.child_main import Failed

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
    if fault.signal_name is not None:
        return f"{library} crashed: {fault.signal_name}"
    return reason if library in reason or fault.state == "absent" else f"{library}: {reason}"


def _remedy(fault: Change, device: Device, have: Installed) -> str:
    is_crash = fault.signal_name is not None
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


TRIAL_S = 300.0
"""Two ways to a device that both hang while they load take two minutes, and its examination one."""

EXAMINE_S = 60.0
"""For its examination: each answer has a deadline of its own, and seldom takes a tenth of a second."""

FALL_S = 5.0
"""Within which it is known why it stopped computing: its thread is woken at once."""

CLOSE_S = 5.0
"""Its process is killed; one that hangs in the system is left behind, and said to be."""

LOOK_S = 0.02

MOST_TRIES = 3
"""An answer that is late once is no fault on a machine that is busy; one that is late every time is."""

ONCE = Backoff(3600.0, 3600.0)
"""What has failed is not started again by itself."""


def accelerator_findings(devices: DevicesConfig, bundle: Bundle) -> Iterator[Finding]:
    """What each accelerator makes of the self-test, and which encoders stay on the CPU and why."""
    placements = placements_of(bundle.manifest, devices, look_around())
    yield from cpu_placements(placements)
    by_device = {placement.device: modality for modality, placement in placements.items()}
    for device, modality in by_device.items():
        if device is not None:
            yield _finding_of(device, modality, devices, bundle)


def cpu_placements(placements: Mapping[Modality, Placement]) -> Iterator[Finding]:
    """Of encoders that run on the CPU where something else was asked for, or might be expected."""
    together: dict[Placement, list[str]] = {}
    for modality, placement in placements.items():
        if placement.reason is not None:
            together.setdefault(placement, []).append(modality)
    for placement, modalities in together.items():
        found = f"the CPU runs {', '.join(modalities)}: {placement.reason}"
        is_unasked = placement.wanted == "auto"
        remedy = None if is_unasked else f"use a bundle that has one, or {CPU_INSTEAD}"
        yield Finding(f"device {placement.wanted}", "good" if is_unasked else "warning", found, remedy)


def try_in_child(directory: str, devices: str, modality: Modality) -> None:
    """In a child process: try the accelerator on which `devices`, JSON, place an encoder; write the finding as JSON.

    Raises Failed when it is there no longer, or the bundle cannot be used with it.
    """
    logging.disable(logging.CRITICAL)  # what goes wrong is told once, as a finding
    try:
        attempt = _tried(load_bundle(Path(directory)), DevicesConfig.model_validate_json(devices), modality)
    except (Refused, ChildError) as error:
        raise Failed(str(error)) from error
    print(json.dumps(judge(attempt, installed()).to_json()))  # noqa: T201  (the parent reads it)


def _finding_of(device: Device, modality: Modality, devices: DevicesConfig, bundle: Bundle) -> Finding:
    """By a process that in turn has one for the accelerator: TFLite is never loaded into this one."""
    arguments = (str(bundle.directory), devices.model_dump_json(), modality)
    trial = tried("TFLite", try_in_child, *arguments, deadline_s=TRIAL_S)
    if trial.trouble is not None:
        return Finding(f"self-test {device.name}", "warning", trial.trouble, CPU_INSTEAD)
    return Finding(**json.loads(trial.said))


def _tried(bundle: Bundle, devices: DevicesConfig, modality: Modality) -> Attempt:
    for _ in range(MOST_TRIES):
        recogniser = accelerate(load_recogniser(bundle), devices, retries=ONCE)
        device = recogniser.placements[modality].device
        accelerator = next((one for one in recogniser.accelerators if one.device == device), None)
        if accelerator is None:
            raise Failed(f"what was to run {modality} is there no longer")
        attempt = _tried_once(accelerator, recogniser)
        if not is_late(attempt):
            break
    return attempt


def _tried_once(accelerator: Accelerator, recogniser: Recogniser) -> Attempt:
    seconds, wrong = 0.0, []
    load_s = LOAD_S * len(ways(accelerator.device))
    accelerator.start()
    try:
        _wait_until(lambda: _is_settled(accelerator), load_s + EXAMINE_S)
        if any(change.state == "in_use" for change in accelerator.status.history):
            began = time.monotonic()
            wrong = selftest(recogniser.bundle, recogniser)
            seconds = time.monotonic() - began
            if any(verifier.share.on_cpu for verifier in accelerator.verifiers):
                _wait_until(lambda: accelerator.status.state != "in_use", FALL_S)
        history = accelerator.status.history
    finally:
        is_closed = accelerator.close(CLOSE_S)
    parts = [
        Part(verifier.name, verifier.share.ran, verifier.share.on_cpu, verifier.pace.p50_ns)
        for verifier in accelerator.verifiers
    ]
    return Attempt(accelerator.device, history, parts, seconds, wrong, is_closed=is_closed)


def _is_settled(accelerator: Accelerator) -> bool:
    """Whether waiting longer changes nothing: one that refuses may have another way."""
    history = accelerator.status.history
    return bool(history) and (history[-1].kind != "refused" or len(history) == len(ways(accelerator.device)))


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end_ns = monotonic_ns() + round(seconds * NS_PER_S)
    while not condition() and monotonic_ns() < end_ns:
        time.sleep(LOOK_S)
