"""Runs a bundle's self-test on each accelerator that a config's `devices` asks for, one after another."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from daemon.accelerate import accelerate, placements_of
from daemon.bundles.load import Bundle, load_bundle
from daemon.clock import NS_PER_S, monotonic_ns
from daemon.device_config import DevicesConfig
from daemon.doctor.finding import Finding
from daemon.doctor.trial import tried
from daemon.doctor.versions import installed
from daemon.doctor_attempt import CPU_INSTEAD, Attempt, Part, is_late, judge, ways
from daemon.errors import ChildError, Refused
from daemon.inference.accelerator import LOAD_S, Accelerator
from daemon.inference.device import Device
from daemon.inference.placement import Placement, look_around
from daemon.recogniser import Recogniser, load_recogniser
from daemon.records import Modality
from daemon.runtime.backoff import Backoff
from daemon.runtime.inside import Failed
from daemon.selftest import selftest

IN_CHILD = "daemon.doctor_devices:try_in_child"

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
    trial = tried("TFLite", IN_CHILD, *arguments, deadline_s=TRIAL_S)
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
            if any(examiner.share.on_cpu for examiner in accelerator.examiners):
                _wait_until(lambda: accelerator.status.state != "in_use", FALL_S)
        history = accelerator.status.history
    finally:
        is_closed = accelerator.close(CLOSE_S)
    parts = [
        Part(examiner.name, examiner.share.ran, examiner.share.on_cpu, examiner.pace.p50_ns)
        for examiner in accelerator.examiners
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
