"""Runs a bundle's self-test on each accelerator that the config's `devices` asks for, one after another."""

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.encoder_specs import encoders_of
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, Refused
from daemon.core.records import MODALITIES, Modality
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.doctor.accelerator_run import (
    CPU_REMEDY,
    AcceleratorRun,
    EncoderCounts,
    assess_run,
    was_used,
    ways_to,
)
from daemon.doctor.finding import Finding
from daemon.doctor.libraries import installed
from daemon.doctor.probe import probe
from daemon.inference.accelerator import LOAD_S, Accelerator
from daemon.inference.placement import Device, Placement, detect_machine
from daemon.pipeline.acceleration import accelerate, needed_outputs, placements_of
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.selftest import run_selftest
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


def accelerator_findings(
    devices: DevicesConfig, bundle: Bundle, senses: Collection[Modality] = MODALITIES
) -> Iterator[Finding]:
    """The self-test on each accelerator, and why encoders stay on the CPU.

    It concerns the encoders of these modalities. The node does not load the others.
    """
    machine, specs = detect_machine(), encoders_of(bundle.manifest.encoder_specs, *senses)
    placements = placements_of(specs, devices, machine)
    if any(placement.absent_outputs for placement in placements.values()):
        result = probe("TFLite", print_needed_outputs, str(bundle.directory))
        if result.problem is not None:
            yield Finding("devices", "warning", result.problem, CPU_REMEDY)
            return
        placements = placements_of(specs, devices, machine, json.loads(result.output))
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
        remedy = None if is_automatic else f"use a bundle made for an Edge TPU, or {CPU_REMEDY}"
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
        wait_until_settled(accelerator, LOAD_S * len(ways_to(accelerator.device)) + VERIFY_S)
        if was_used(accelerator.status.history):
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


def wait_until_settled(accelerator: Accelerator, seconds: float) -> None:
    """Wait until the accelerator is in use, or has failed in every way to reach it."""
    end_ns = monotonic_ns() + round(seconds * NS_PER_S)
    while monotonic_ns() < end_ns:
        history = accelerator.status.history
        # a refusal is final only for the last way to reach the device
        if history and (history[-1].kind != "refused" or len(history) == len(ways_to(accelerator.device))):
            return
        time.sleep(POLL_S)


def _wait_for_failure(accelerator: Accelerator) -> None:
    end_ns = monotonic_ns() + round(FAILURE_S * NS_PER_S)
    while accelerator.status.state == "in_use" and monotonic_ns() < end_ns:
        time.sleep(POLL_S)


def _was_late(run: AcceleratorRun) -> bool:
    return was_used(run.history) and run.history[-1].kind in ("hung", "slow")
