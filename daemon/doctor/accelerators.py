"""Runs a bundle's self-test on each accelerator that the config's `devices` asks for, one after another."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, FaultKind, Refused
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.doctor.edgetpu import INSTALL_REMEDY
from daemon.doctor.finding import Finding
from daemon.doctor.libraries import Installed, installed
from daemon.doctor.probe import probe
from daemon.inference.accelerator import LOAD_S, Accelerator
from daemon.inference.accelerator_status import StatusChange
from daemon.inference.hardware import EDGETPU_LIBRARY
from daemon.inference.placement import Device, Placement, detect_machine
from daemon.pipeline.acceleration import accelerate, needed_outputs, placements_of
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.selftest import first_failures, run_selftest
from daemon.runtime.child_main import Failed

# for one accelerator: two ways to reach it that both hang take two minutes, and its verification one
RUN_S = 300.0

# for the verification: each answer has its own deadline, and mostly takes less than a tenth of a second
VERIFY_S = 60.0

# after a failure the accelerator's thread wakes at once, and the reason is known within this time
FAILURE_S = 5.0

# to kill the accelerator's process; a process that hangs in the system is reported
CLOSE_S = 5.0

POLL_S = 0.02

# a late answer may come from a busy machine; an accelerator that is late in every run has a fault
MAX_RUNS = 3

# an accelerator that has failed is not started again during a run
NO_RETRIES = Backoff(3600.0, 3600.0)

# the input of an encoder
INPUT_NAMES: dict[Modality, str] = {"image": "picture", "audio": "patch of sound", "text": "line of text"}

GPU_NAME = "the runtime's own GPU accelerator"

CPU_REMEDY = "set devices to cpu in config.yaml"

REMEDIES: dict[FaultKind, str] = {
    "absent": "plug it in",
    "refused": "check its library and options, and stop other programs that use it, such as a running perceptd",
    "died": "update its library or driver",
    "hung": "plug it in again or reboot, and check its power supply",
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


def accelerator_findings(devices: DevicesConfig, bundle: Bundle) -> Iterator[Finding]:
    """The self-test on each accelerator, and why encoders stay on the CPU."""
    machine = detect_machine()
    placements = placements_of(bundle.manifest, devices, machine)
    if any(placement.absent_outputs for placement in placements.values()):
        result = probe("TFLite", print_needed_outputs, str(bundle.directory))
        if result.problem is not None:
            yield Finding("devices", "warning", result.problem, CPU_REMEDY)
            return
        placements = placements_of(bundle.manifest, devices, machine, json.loads(result.output))
    yield from cpu_placements(placements)
    yield from absences(placements)
    by_device = {placement.device: encoder for encoder, placement in placements.items()}
    for device, encoder in by_device.items():
        if device is not None:
            yield _run_finding(device, encoder, devices, bundle)


def cpu_placements(placements: Mapping[str, Placement]) -> Iterator[Finding]:
    """The encoders that run on the CPU although the config asks for, or the machine has, an accelerator."""
    by_placement: dict[Placement, list[str]] = {}
    for encoder, placement in placements.items():
        if placement.reason is not None:
            by_placement.setdefault(placement, []).append(encoder)
    for placement, encoders in by_placement.items():
        found = f"the CPU runs {', '.join(encoders)}: {placement.reason}"
        is_automatic = placement.requested == "auto"
        remedy = None if is_automatic else f"use a bundle that has one, or {CPU_REMEDY}"
        yield Finding(f"device {placement.requested}", "good" if is_automatic else "warning", found, remedy)


def absences(placements: Mapping[str, Placement]) -> Iterator[Finding]:
    """The encoders that do not give all their outputs on an accelerator. The head uses no output that is absent."""
    for encoder, placement in placements.items():
        if placement.device is not None and placement.absence is not None:
            yield Finding(f"device {placement.device.name}", "good", f"{encoder}: {placement.absence}")


def print_needed_outputs(directory: str) -> None:
    """In a child process: print by encoder the outputs that keep it from an Edge TPU, as JSON. Raises Failed."""
    try:
        needed = needed_outputs(load_bundle(Path(directory)))
    except Refused as error:
        raise Failed(str(error)) from error
    print(json.dumps(needed))  # noqa: T201  (the parent reads it)


def run_accelerator(directory: str, devices: str, encoder: str) -> None:
    """In a child process: run the self-test on the accelerator of one encoder, and print the finding as JSON.

    `directory` has the bundle, `devices` is the config's part as JSON.
    Raises Failed when the accelerator is gone, or the bundle cannot be used with it.
    """
    logging.disable(logging.CRITICAL)  # problems are reported once, as a finding
    try:
        run = _repeat_run(load_bundle(Path(directory)), DevicesConfig.model_validate_json(devices), encoder)
    except (Refused, ChildError) as error:
        raise Failed(str(error)) from error
    print(json.dumps(assess_run(run, installed()).to_json()))  # noqa: T201  (the parent reads it)


def assess_run(run: AcceleratorRun, have: Installed) -> Finding:
    """The finding of a run. A warning at worst, because the CPU replaces an accelerator that fails."""
    check = f"self-test {run.device.name}"
    faults, unresolved = _faults(run)
    details = f" ({'; '.join(faults)})" if faults else ""
    if not run.is_closed:
        remedy = f"plug it in again or reboot, or {CPU_REMEDY}"
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


def _run_finding(device: Device, encoder: str, devices: DevicesConfig, bundle: Bundle) -> Finding:
    # in a child process, which starts another one for the accelerator: TFLite is never loaded into this process
    arguments = (str(bundle.directory), devices.model_dump_json(), encoder)
    result = probe("TFLite", run_accelerator, *arguments, deadline_s=RUN_S)
    if result.problem is not None:
        return Finding(f"self-test {device.name}", "warning", result.problem, CPU_REMEDY)
    return Finding(**json.loads(result.output))


def _repeat_run(bundle: Bundle, devices: DevicesConfig, encoder: str) -> AcceleratorRun:
    for _ in range(MAX_RUNS):
        recogniser = accelerate(load_recogniser(bundle), devices, retries=NO_RETRIES)
        device = recogniser.placements[encoder].device
        accelerator = next((one for one in recogniser.accelerators if one.device == device), None)
        if accelerator is None:
            raise Failed(f"the accelerator for {encoder} is gone")
        run = _run(accelerator, recogniser)
        if not _was_late(run):
            break
    return run


def _run(accelerator: Accelerator, recogniser: Recogniser) -> AcceleratorRun:
    seconds, failures = 0.0, []
    accelerator.start()
    try:
        _wait_until_settled(accelerator, LOAD_S * len(_ways(accelerator.device)) + VERIFY_S)
        if _was_used(accelerator.status.history):
            began = time.monotonic()
            failures = run_selftest(recogniser.bundle, recogniser)
            seconds = time.monotonic() - began
            if any(verifier.counts.on_cpu for verifier in accelerator.verifiers):
                _wait_for_failure(accelerator)
        history = accelerator.status.history
    finally:
        is_closed = accelerator.close(CLOSE_S)
    modalities = recogniser.bundle.manifest.encoder_modalities
    encoders = [
        EncoderCounts(
            verifier.encoder,
            modalities[verifier.encoder],
            verifier.counts.ran,
            verifier.counts.on_cpu,
            verifier.latency.p50_ns,
        )
        for verifier in accelerator.verifiers
    ]
    return AcceleratorRun(accelerator.device, history, encoders, seconds, failures, is_closed=is_closed)


def _wait_until_settled(accelerator: Accelerator, seconds: float) -> None:
    """Wait until the accelerator is in use, or has failed in every way to reach it."""
    end_ns = monotonic_ns() + round(seconds * NS_PER_S)
    while monotonic_ns() < end_ns:
        history = accelerator.status.history
        # a refusal is final only for the last way to reach the device
        if history and (history[-1].kind != "refused" or len(history) == len(_ways(accelerator.device))):
            return
        time.sleep(POLL_S)


def _wait_for_failure(accelerator: Accelerator) -> None:
    end_ns = monotonic_ns() + round(FAILURE_S * NS_PER_S)
    while accelerator.status.state == "in_use" and monotonic_ns() < end_ns:
        time.sleep(POLL_S)


def _ways(device: Device) -> list[Device]:
    """The ways to reach the device, in the order in which they are tried."""
    return [device] if device.alternative is None else [device, device.alternative]


def _was_used(history: Sequence[StatusChange]) -> bool:
    return any(change.state == "in_use" for change in history)


def _was_late(run: AcceleratorRun) -> bool:
    return _was_used(run.history) and run.history[-1].kind in ("hung", "slow")


def _faults(run: AcceleratorRun) -> tuple[list[str], StatusChange | None]:
    """The text of each fault, and the last fault unless another way to reach the device worked."""
    states = [change.state for change in run.history]
    faults = [change for change in run.history if change.state in ("failed", "absent")]
    ways = _ways(run.device)
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
    return REMEDIES[fault.kind or "absent"]


def _doubt(run: AcceleratorRun) -> tuple[str, str] | None:
    """A problem that is no fault of the accelerator's process, and its remedy."""
    if not _was_used(run.history):
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
