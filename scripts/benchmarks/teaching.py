"""Measures the fit of 20 labels with 20 presses each onto the bundle home: time, memory, and pictures lost meanwhile.

The fit runs as the daemon runs it: a child process on one core reads the store of examples, fits with
cross-validation, writes the bundle and the report. Beside it a daemon recognises a camera's recording.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demo import broker

from benchmarks.clip import write_clip
from benchmarks.config import write_config
from benchmarks.home import add_options, build_home
from benchmarks.measured import Subscriber, retained
from benchmarks.process import daemon_command, running
from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.records import Array
from daemon.pipeline.fit_main import FitAnswer, FitRequest
from daemon.teaching.records import BackgroundMoment, Example, StoredMoment
from daemon.teaching.store import TeachingStore

TARGET_S, TARGET_MB = 10.0, 250.0
LABELS, PRESSES, MOMENTS, BACKGROUND = 20, 20, 9, 2000
MOMENT_MS = 480
PRESS_EVERY_S, BACKGROUND_EVERY_S = 600.0, 43.0
STREAM = "bench"
SEED = 20261129
# Health is published this often; the last message before the end tells what was dropped.
HEALTH_S = 12.0

CHILD = """
import os, sys
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from daemon.pipeline.fit_main import answer_fit
answer_fit(sys.argv[1])
"""


@dataclass(frozen=True)
class Fit:
    """What one fit took: seconds of the clock and of the processor, and its highest memory."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> int:
    """Print the figures; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench teaching", description=__doc__)
    parser.add_argument("--fits", type=int, default=3, help="how often it is fitted (default: 3)")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        directory = Path(name)
        bundle = load_bundle(options.bundle or build_home(directory / "home", options.from_dir))
        fill(directory / "teaching.db", bundle)
        alone = [fit(bundle, directory, f"alone-{number}") for number in range(options.fits)]
        beside, dropped = fit_beside_daemon(bundle, directory, port, options.fits)
    result = result_of(alone, beside, dropped)
    print(json.dumps(result) if options.json else _table(result))
    return 0 if all(result["targets"].values()) else 1


def fill(database: Path, bundle: Bundle) -> None:
    """Store presses and background of random embeddings. Each label has a direction of its own in each encoder."""
    rng, encoders = np.random.default_rng(SEED), encoder_fingerprints(bundle)
    sizes = {name: spec.size for name, spec in bundle.manifest.encoder_specs.items()}
    store = TeachingStore(database)
    for label in range(LABELS):
        of_label = {name: rng.normal(0, 1, size) for name, size in sizes.items()}
        for number in range(PRESSES):
            moments = [
                StoredMoment(index * MOMENT_MS, _vectors(of_label, rng, strength=0.3)) for index in range(MOMENTS)
            ]
            taken_s = (label * PRESSES + number) * PRESS_EVERY_S
            store.add_example(
                Example(f"{label}-{number}", f"label {label}", STREAM, taken_s, "press", encoders, moments)
            )
    nothing = {name: np.zeros(size) for name, size in sizes.items()}
    for index in range(BACKGROUND):
        taken_s = index * BACKGROUND_EVERY_S
        store.add_background(BackgroundMoment(STREAM, taken_s, encoders, _vectors(nothing, rng, strength=0.0)))
    store.close()


def fit(bundle: Bundle, directory: Path, target: str) -> Fit:
    """Fit in a child process on one core. Raises SystemExit when it does not succeed."""
    request = FitRequest(
        database=str(directory / "teaching.db"),
        base=str(bundle.directory),
        target=str(directory / target),
        version=f"{bundle.manifest.version}+taught.1",
    )
    began_s = time.monotonic()
    command = [sys.executable, "-c", CHILD, request.model_dump_json()]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode != 0:
        raise SystemExit(f"the fit ended with exit code {process.returncode}")
    answer = FitAnswer.model_validate_json(printed.splitlines()[-1])
    if not answer.ok:
        raise SystemExit(f"the fit failed: {answer.reason}")
    return Fit(time.monotonic() - began_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def fit_beside_daemon(bundle: Bundle, directory: Path, port: int, fits: int) -> tuple[list[Fit], dict[str, object]]:
    """Fit while a daemon recognises a recording at its own rate; return what the daemon dropped, by sense."""
    clip, config = directory / "clip.mp4", directory / "daemon.yaml"
    write_clip(clip, as_camera=True)
    streams = {STREAM: {"replay": {"file": str(clip), "loop": True}}}
    write_config(config, "bench-teaching", bundle.directory, port, streams)
    subscriber = Subscriber(port, f"perceptd/bench-teaching/{STREAM}/recognition")
    try:
        with running(daemon_command(config)) as process:
            subscriber.wait_for(1, process)
            results = [fit(bundle, directory, f"beside-{number}") for number in range(fits)]
            time.sleep(HEALTH_S)
            health = retained(port, "perceptd/bench-teaching/health")
    finally:
        subscriber.close()
    inputs = health["streams"][STREAM]["inputs"]
    return results, {sense: counts["dropped"] for sense, counts in inputs.items() if counts["dropped"]}


def result_of(alone: list[Fit], beside: list[Fit], dropped: dict[str, object]) -> dict:
    """The figures, and each target as text with whether it is met."""
    # on a machine that does other work too the clock tells nothing
    slowest, peak = max(each.cpu_s for each in alone), max(each.peak_mb for each in [*alone, *beside])
    return {
        "alone": [vars(each) for each in alone],
        "beside": [vars(each) for each in beside],
        "dropped": dropped,
        "targets": {
            f"at most {TARGET_S:.0f} s of one core": slowest <= TARGET_S,
            f"at most {TARGET_MB:.0f} MB": peak <= TARGET_MB,
            "no picture and no sound is dropped meanwhile": not dropped,
        },
    }


def _vectors(centres: dict[str, Array], rng: np.random.Generator, *, strength: float) -> dict[str, Array]:
    return {
        name: (strength * centre + rng.normal(0, 1, len(centre))).astype(np.float32) for name, centre in centres.items()
    }


def _table(result: dict) -> str:
    lines = [f"\n{LABELS} labels, {PRESSES} presses each, {BACKGROUND} moments of background"]
    for name, title in (("alone", "alone, on one core"), ("beside", "beside a daemon")):
        for each in result[name]:
            figures = f"{each['wall_s']:6.1f} s  {each['cpu_s']:6.1f} s of processor time  {each['peak_mb']:5.0f} MB"
            lines.append(f"{title:<20}{figures}")
    lines.append(f"dropped meanwhile: {result['dropped'] or 'nothing'}")
    return "\n".join(
        [*lines, *(f"target: {what}: {'met' if met else 'MISSED'}" for what, met in result["targets"].items())]
    )


if __name__ == "__main__":
    sys.exit(main())
