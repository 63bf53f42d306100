"""Measures the daemon's memory, descriptors and threads over time, while it replays the demo in real time.

With --fast it replays an hour of the demo as fast as possible. Allocated memory decides. PSS is shown beside it, but it
changes with other processes that map the same libraries.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import yaml
from demo import broker

from benchmarks.measured import retained
from benchmarks.process import Footprint, Running, daemon_command, footprint, running
from benchmarks.repeat import write_repeated

ROOT = Path(__file__).resolve().parents[2]
TARGET_MB = 5.0
TARGET_SPEED = 10.0
FAST_SAMPLE_EVERY_S = 10.0
REALTIME_SAMPLE_EVERY_S = 60.0
# The part of a fast run in which caches and queues fill. In real time it is the first minute.
WARM_UP_PART = 0.1

# Seconds since the daemon was started, and its footprint then.
Samples = list[tuple[float, Footprint]]


def main() -> int:
    """Print the footprint of each sample; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument(
        "--minutes", type=int, help="how long to measure (default: 10); with --fast the length of the recording (60)"
    )
    parser.add_argument("--fast", action="store_true", help="replay an hour of recording as fast as possible")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        run = _fast if options.fast else _realtime
        result = run(Path(name), port, options.minutes or (60 if options.fast else 10), quiet=options.json)
    print(json.dumps(result) if options.json else _table(result))
    return 1 if result["missed"] else 0


def _realtime(directory: Path, port: int, minutes: int, *, quiet: bool) -> dict:
    with running(daemon_command(_config(directory, port, {}))) as process:
        samples = _sample(process, REALTIME_SAMPLE_EVERY_S, minutes * 60, quiet=quiet)
        if process.has_ended:
            process.fail("the daemon ended before the measurement did")
    return assess([sample for _, sample in samples], None)


def _fast(directory: Path, port: int, minutes: int, *, quiet: bool) -> dict:
    """Measure a replay at full speed. The daemon ends by itself with the recording."""
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())["streams"]["demo"]["replay"]["file"]
    recording = directory / "recording.mp4"
    length_s = write_repeated(ROOT / demo, recording, minutes * 60)
    began_s = time.monotonic()
    replay = {"file": str(recording), "loop": False, "pace": "fast"}
    with running(daemon_command(_config(directory, port, replay))) as process:
        samples = _sample(process, FAST_SAMPLE_EVERY_S, length_s, quiet=quiet)
        took_s = time.monotonic() - began_s
        if process.exit_code() != 0:
            process.fail(f"the daemon did not replay the whole recording of {length_s:.0f} s in {took_s:.0f} s")
    result = assess([sample for at_s, sample in samples if at_s >= took_s * WARM_UP_PART], length_s / took_s)
    health = retained(port, "perceptd/demo/health")
    dropped = {sense: counts["dropped"] for sense, counts in health["streams"]["demo"]["inputs"].items()}
    result["missed"] += [f"{sense} dropped: {reasons}" for sense, reasons in dropped.items() if reasons]
    return result


def _config(directory: Path, port: int, replay: dict) -> Path:
    """The shipped config with every recognition published, and with other settings of its replay."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["bundle"] = str(ROOT / config["bundle"])
    config["log_level"] = "warning"
    config["state_directory"] = str(directory / "state")
    config["mqtt"]["port"] = port
    config["mqtt"]["recognitions"]["publish"] = "every"
    shipped = config["streams"]["demo"]["replay"]
    files = {key: str(ROOT / shipped[key]) for key in ("file", "text")}
    config["streams"]["demo"]["replay"] = shipped | files | replay
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _sample(process: Running, every_s: float, seconds: float, *, quiet: bool) -> Samples:
    """Sample the footprint at intervals, until the time has passed or the process has ended."""
    began_s, samples = time.monotonic(), []
    count = round(seconds / every_s)
    for number in range(1, count + 1):
        _wait(process, began_s + number * every_s)
        sample = None if process.has_ended else footprint(process.pid)
        if sample is None:
            break
        samples.append((number * every_s, sample))
        if not quiet:
            print(f"after {number * every_s:4.0f} s: {_text(sample)}", flush=True)
    return samples


def _wait(process: Running, until_s: float) -> None:
    while time.monotonic() < until_s and not process.has_ended:
        time.sleep(min(0.2, max(0.0, until_s - time.monotonic())))


def _text(sample: Footprint) -> str:
    memory = f"{sample.allocated_mb:.1f} MB allocated, {sample.pss_mb:.1f} MB PSS"
    return f"{memory}, {sample.descriptors} descriptors, {sample.threads} threads"


def assess(after_warm_up: Sequence[Footprint], speed: float | None) -> dict:
    """The result: the greatest growth since the first sample, and the targets that are missed.

    `speed` is how many times as fast as real time a recording was replayed. Raises SystemExit when there are fewer than
    two samples.
    """
    if len(after_warm_up) < 2:
        raise SystemExit("the run was too short: fewer than two samples after the warm-up")
    grown_mb = _growth(after_warm_up, "allocated_mb")
    more = {name: _growth(after_warm_up, name) for name in ("descriptors", "threads")}
    missed = [f"allocated memory grew by {grown_mb:.1f} MB"] if grown_mb > TARGET_MB else []
    missed += [f"{count} more {name}" for name, count in more.items() if count > 0]
    missed += [f"only {speed:.1f} times as fast as real time"] if speed is not None and speed < TARGET_SPEED else []
    footprints = [asdict(sample) for sample in after_warm_up]
    return {"held": footprints, "grown_mb": grown_mb, "more": more, "pace": speed, "missed": missed}


def _growth(samples: Sequence[Footprint], name: str) -> float:
    """The greatest growth since the first sample. The last sample may be lower, because the daemon may be stopping."""
    return max(getattr(sample, name) for sample in samples) - getattr(samples[0], name)


def _table(result: dict) -> str:
    more = ", ".join(f"{count} more {name}" for name, count in result["more"].items())
    lines = [f"growth after the warm-up: at most {result['grown_mb']:.1f} MB allocated, {more}"]
    targets = f"allocated memory grows by at most {TARGET_MB:g} MB, no additional descriptors and threads"
    if result["pace"] is not None:
        lines.append(f"replayed {result['pace']:.1f} times as fast as real time")
        targets += f", at least {TARGET_SPEED:g} times as fast as real time"
    outcome = f"MISSED: {'; '.join(result['missed'])}" if result["missed"] else "met"
    return "\n".join([*lines, f"targets: {targets}: {outcome}"])


if __name__ == "__main__":
    sys.exit(main())
