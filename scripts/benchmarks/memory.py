"""What the daemon holds over time: memory, descriptors and threads, replaying the demo in real time.

With --fast an hour of it is replayed as fast as possible. What it has allocated decides; PSS is shown beside it, and
changes with whoever else maps the same libraries.
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
TARGET_PACE = 10.0
FAST_LOOK_EVERY_S = 10.0
REALTIME_LOOK_EVERY_S = 60.0
WARM_UP_PART = 0.1
"""The part of a fast run in which caches and queues fill. In real time that is the first minute."""

Watched = list[tuple[float, Footprint]]
"""Seconds since the daemon was started, and what it held then."""


def main() -> int:
    """Print what was held at each look; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--minutes", type=int, help="how long to look (default: 10), or the recording with --fast (60)")
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
        watched = _watch(process, REALTIME_LOOK_EVERY_S, minutes * 60, quiet=quiet)
        if process.has_ended:
            process.fail("the daemon ended by itself")
    return judged([held for _, held in watched], None)


def _fast(directory: Path, port: int, minutes: int, *, quiet: bool) -> dict:
    """The daemon ends by itself with the recording."""
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())["streams"]["demo"]["replay"]["file"]
    recording = directory / "recording.mp4"
    length_s = write_repeated(ROOT / demo, recording, minutes * 60)
    began_s = time.monotonic()
    replay = {"file": str(recording), "loop": False, "pace": "fast"}
    with running(daemon_command(_config(directory, port, replay))) as process:
        watched = _watch(process, FAST_LOOK_EVERY_S, length_s, quiet=quiet)
        took_s = time.monotonic() - began_s
        if process.exit_code() != 0:
            process.fail(f"the recording of {length_s:.0f} s was not played to its end in {took_s:.0f} s")
    result = judged([held for at_s, held in watched if at_s >= took_s * WARM_UP_PART], length_s / took_s)
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


def _watch(process: Running, every_s: float, seconds: float, *, quiet: bool) -> Watched:
    """Look again and again, until so many seconds have passed or it has ended."""
    began_s, watched = time.monotonic(), []
    looks = round(seconds / every_s)
    for number in range(1, looks + 1):
        _wait(process, began_s + number * every_s)
        held = None if process.has_ended else footprint(process.pid)
        if held is None:
            break
        watched.append((number * every_s, held))
        if not quiet:
            print(f"after {number * every_s:4.0f} s: {_told(held)}", flush=True)
    return watched


def _wait(process: Running, until_s: float) -> None:
    while time.monotonic() < until_s and not process.has_ended:
        time.sleep(min(0.2, max(0.0, until_s - time.monotonic())))


def _told(held: Footprint) -> str:
    memory = f"{held.allocated_mb:.1f} MB allocated, {held.pss_mb:.1f} MB PSS"
    return f"{memory}, {held.descriptors} descriptors, {held.threads} threads"


def judged(after_warm_up: Sequence[Footprint], pace: float | None) -> dict:
    """What became of what was held: how much more at the most than at first, and what misses its target.

    `pace` is how many times as fast as real time a recording was replayed. Raises SystemExit where there is nothing to
    compare.
    """
    if len(after_warm_up) < 2:
        raise SystemExit("too short: what is held after the warm-up was seen less than twice")
    grown_mb = _grown(after_warm_up, "allocated_mb")
    more = {name: _grown(after_warm_up, name) for name in ("descriptors", "threads")}
    missed = [f"grown by {grown_mb:.1f} MB"] if grown_mb > TARGET_MB else []
    missed += [f"{count} more {name}" for name, count in more.items() if count > 0]
    missed += [f"only {pace:.1f} times as fast as real time"] if pace is not None and pace < TARGET_PACE else []
    held = [asdict(footprint) for footprint in after_warm_up]
    return {"held": held, "grown_mb": grown_mb, "more": more, "pace": pace, "missed": missed}


def _grown(looks: Sequence[Footprint], name: str) -> float:
    """At the most, for at the last look the daemon may be ending already."""
    return max(getattr(held, name) for held in looks) - getattr(looks[0], name)


def _table(result: dict) -> str:
    more = ", ".join(f"{count} more {name}" for name, count in result["more"].items())
    lines = [f"after the warm-up: at most {result['grown_mb']:.1f} MB more allocated, {more}"]
    targets = f"at most {TARGET_MB:g} MB more, no more descriptors and threads"
    if result["pace"] is not None:
        lines.append(f"replayed {result['pace']:.1f} times as fast as real time")
        targets += f", at least {TARGET_PACE:g} times as fast as real time"
    outcome = f"MISSED: {'; '.join(result['missed'])}" if result["missed"] else "met"
    return "\n".join([*lines, f"targets: {targets}: {outcome}"])


if __name__ == "__main__":
    sys.exit(main())
