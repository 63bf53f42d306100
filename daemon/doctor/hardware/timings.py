"""Times a bundle's encoders on the CPU and on each accelerator, each in a child process that may crash or hang."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, Refused
from daemon.core.timing import NS_PER_MS, monotonic_ns
from daemon.doctor.accelerators import CLOSE_S, NO_RETRIES, VERIFY_S, wait_until_settled
from daemon.doctor.hardware import words
from daemon.doctor.hardware.document import Attempt, BundleReport, Timing
from daemon.doctor.probe import ProbeResult, probe
from daemon.inference.accelerator import LOAD_S, Accelerator
from daemon.inference.placement import detect_machine
from daemon.inference.verification import Verifier
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.selftest import run_selftest
from daemon.runtime.child_main import Failed

# of each encoder; the p99 of so many rests on two of them
RUNS = 200

# a slow board ends earlier
MEASURE_S = 20.0

# to load one encoder from a slow card, and to measure it
CPU_S = 120.0

# for one accelerator: two ways to reach it, its verification, and the measurement
ACCELERATOR_S = 300.0

# the bundles that are published; the name of another one may say whose it is
PUBLISHED = frozenset({"digits", "home", "home-coral"})

SEED = 1


def bundle_report(bundle: Bundle) -> BundleReport:
    """Return the times of each encoder on the CPU."""
    return BundleReport.model_validate(
        {
            "name": words.one_of(bundle.manifest.name, PUBLISHED) or "other",
            "version": words.version(bundle.manifest.version),
            "encoders_on_cpu": [_on_cpu(bundle, name) for name in bundle.manifest.encoder_specs],
        }
    )


def attempts(bundle: Bundle, configured: DevicesConfig) -> Iterator[Attempt]:
    """Try each accelerator that this machine may have, and those of the config, one after another."""
    machine = detect_machine()
    for tpu in machine.edge_tpus:
        device: Literal["edgetpu-usb", "edgetpu-pci"] = "edgetpu-pci" if tpu.usb_id is None else "edgetpu-usb"
        yield _attempt(bundle, device, DevicesConfig(default=f"edgetpu:{tpu.device}"))
    if not machine.edge_tpus:
        yield Attempt(device="edgetpu-usb", outcome="absent", said="no Edge TPU found")
    # the runtime has an accelerator for GPUs of its own, which says itself that there is none
    yield _attempt(bundle, "gpu", DevicesConfig(default="gpu", gpu_delegate=configured.gpu_delegate))
    for choice in (configured.default, configured.image, configured.audio, configured.text):
        if choice is not None and not isinstance(choice, str):
            yield _attempt(bundle, "delegate", DevicesConfig(default=choice))


def print_cpu_times(directory: str, encoder: str) -> None:
    """In a child process: print the times of one encoder on the CPU, in milliseconds, as JSON. Raises Failed."""
    try:
        bundle = load_bundle(Path(directory))
        model = load_recogniser(bundle, [bundle.manifest.encoder_specs[encoder].modality]).models[encoder]
        noise = np.random.default_rng(SEED).integers(0, 255, model.input.shape)
        model.input[...] = noise if model.input.dtype.kind in "iu" else noise / 255
        model.invoke()
        took: list[float] = []
        began = time.monotonic()
        while len(took) < RUNS and time.monotonic() - began < MEASURE_S:
            started_ns = monotonic_ns()
            model.invoke()
            took.append((monotonic_ns() - started_ns) / NS_PER_MS)
    except Refused as error:
        raise Failed(str(error)) from error
    print(json.dumps(took))  # noqa: T201  (the parent reads it)


def print_accelerator_times(directory: str, devices: str) -> None:
    """In a child process: run the self-test again and again on one accelerator, and print what was measured as JSON.

    Raises Failed when the bundle cannot be used with it.
    """
    logging.disable(logging.CRITICAL)  # an accelerator that fails is reported, not logged
    try:
        recogniser = accelerate(
            load_recogniser(load_bundle(Path(directory))),
            DevicesConfig.model_validate_json(devices),
            retries=NO_RETRIES,
        )
        found = _measured(recogniser)
    except (Refused, ChildError) as error:
        raise Failed(str(error)) from error
    print(json.dumps(found))  # noqa: T201  (the parent reads it)


def percentiles(took_ms: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the p50 and the p99, to the microsecond."""
    if not took_ms:
        return None, None
    ordered = sorted(took_ms)
    last = len(ordered) - 1
    return round(ordered[min(last, len(ordered) // 2)], 3), round(ordered[min(last, len(ordered) * 99 // 100)], 3)


def attempt_of(device: str, result: ProbeResult, names: Mapping[str, str]) -> Attempt:
    """Return what a run on an accelerator says. `names` has the shown name of each encoder.

    A crash of the process that drives the accelerator is a line of the report too.
    """
    if result.problem is not None:
        problem = {"outcome": "failed", "signal": result.signal_name, "said": words.message(result.problem)}
        return Attempt.model_validate({"device": device, "fault": "died" if result.signal_name else None, **problem})
    run = json.loads(result.output)
    said, timings = run.pop("said"), run.pop("timings")
    return Attempt.model_validate(
        {
            "device": device,
            **run,
            "said": None if said is None else words.message(said),
            "timings": [{**each, "encoder": names[each["encoder"]]} for each in timings if each["encoder"] in names],
        }
    )


def shown_names(bundle: Bundle) -> dict[str, str]:
    """Return the name of each encoder in a report. Those of a bundle that is not published are numbered."""
    specs = bundle.manifest.encoder_specs
    if bundle.manifest.name in PUBLISHED:
        return {name: name for name in specs}
    return {name: f"{spec.modality}-{number}" for number, (name, spec) in enumerate(specs.items(), 1)}


def _on_cpu(bundle: Bundle, encoder: str) -> Timing:
    # TFLite runs in a child process alone: a kernel may use instructions that the processor lacks
    result = probe("TFLite", print_cpu_times, str(bundle.directory), encoder, deadline_s=CPU_S)
    took = [] if result.problem is not None else json.loads(result.output)
    p50_ms, p99_ms = percentiles(took)
    return Timing(
        encoder=shown_names(bundle)[encoder],
        sense=bundle.manifest.encoder_specs[encoder].modality,
        runs=len(took),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        problem=None if result.problem is None else words.message(result.problem),
    )


def _attempt(bundle: Bundle, device: str, devices: DevicesConfig) -> Attempt:
    arguments = (str(bundle.directory), devices.model_dump_json())
    result = probe("TFLite", print_accelerator_times, *arguments, deadline_s=ACCELERATOR_S)
    return attempt_of(device, result, shown_names(bundle))


def _measured(recogniser: Recogniser) -> dict[str, Any]:
    """Return what the only accelerator of the recogniser does, for `attempt_of`."""
    if not recogniser.accelerators:
        said = next((place.reason for place in recogniser.placements.values() if place.reason is not None), None)
        return {"outcome": "absent", "said": said, "timings": []}
    accelerator = recogniser.accelerators[0]
    accelerator.start()
    try:
        wait_until_settled(accelerator, LOAD_S * 2 + VERIFY_S)
        began = time.monotonic()
        while _is_measuring(accelerator) and time.monotonic() - began < MEASURE_S:
            run_selftest(recogniser.bundle, recogniser)
        last = accelerator.status.history[-1] if accelerator.status.history else None
    finally:
        accelerator.close(CLOSE_S)
    works = last is not None and last.state == "in_use"
    return {
        "outcome": "works" if works else "absent" if last is not None and last.state == "absent" else "failed",
        "fault": None if last is None else last.kind,
        "signal": None if last is None else last.signal_name,
        "said": "neither works nor fails within minutes" if last is None else last.reason,
        "timings": [_timing(verifier, recogniser) for verifier in accelerator.verifiers if verifier.counts.ran],
    }


def _is_measuring(accelerator: Accelerator) -> bool:
    is_in_use = accelerator.status.state == "in_use"
    return is_in_use and any(verifier.counts.ran < RUNS for verifier in accelerator.verifiers)


def _timing(verifier: Verifier, recogniser: Recogniser) -> dict[str, Any]:
    latency = verifier.latency
    return {
        "encoder": verifier.encoder,
        "sense": recogniser.bundle.manifest.encoder_modalities[verifier.encoder],
        "runs": verifier.counts.ran,
        "p50_ms": None if latency.p50_ns is None else round(latency.p50_ns / NS_PER_MS, 3),
        "p99_ms": None if latency.p99_ns is None else round(latency.p99_ns / NS_PER_MS, 3),
        "on_cpu": verifier.counts.on_cpu,
    }
