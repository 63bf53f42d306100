"""Measures what it costs to keep the latest seconds of an RTSP camera: the same node with a history and without.

The camera sends 640x480 pictures at 2 Mbit/s, and AAC. One picture a second is encoded, so that recognising costs
little. Decoding costs the same in both.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from demo import broker

from benchmarks.bundles import DIGITS
from benchmarks.cameras import cameras
from benchmarks.config import write_config
from benchmarks.measured import FIRST_DEADLINE_S, WARM_UP_S, measure, retained
from benchmarks.process import daemon_command
from daemon.history.ring import MAX_BYTES

FPS = 25
BITS_A_SECOND = 2_000_000
TARGET_CORE = 0.01


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the part of a core that it used, its memory, and how much of it is kept for the history."""

    core: float
    pss_mb: float
    ring_mb: float


def main() -> int:
    """Print the table; the exit code is 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench history", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs with a history and without (default: 5)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is measured (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    lasts_s = FIRST_DEADLINE_S + WARM_UP_S + options.seconds
    pairs = []
    with (
        tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name,
        broker(Path(name)) as port,
        cameras(Path(name), 1, FPS, lasts_s, BITS_A_SECOND) as server,
    ):
        for turn in range(options.pairs):
            without, kept = (
                _run(Path(name), port, server.urls[0], options.seconds, has_history=each) for each in (False, True)
            )
            pairs.append((without, kept))
            print(f"pair {turn + 1} of {options.pairs} done", file=sys.stderr, flush=True)
    result = result_of(pairs)
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["met"] else 1


def result_of(pairs: list[tuple[Run, Run]]) -> dict:
    """The medians of the runs without a history and with one, and of what it costs more within a pair."""
    more = [kept.core - without.core for without, kept in pairs]
    sides = {"without": [without for without, _ in pairs], "kept": [kept for _, kept in pairs]}
    return {
        "core": {name: statistics.median(run.core for run in runs) for name, runs in sides.items()},
        "more": {"core": statistics.median(more), "all": more},
        "pss_mb": {name: statistics.median(run.pss_mb for run in runs) for name, runs in sides.items()},
        "ring_mb": max(kept.ring_mb for _, kept in pairs),
        "met": statistics.median(more) < TARGET_CORE,
    }


def _run(directory: Path, port: int, url: str, seconds: float, *, has_history: bool) -> Run:
    node = "bench-kept" if has_history else "bench-without"
    config = directory / f"{node}.yaml"
    write_config(config, node, DIGITS, port, {"bench": {"camera": {"device": url, "fps": 1}, "microphone": "camera"}})
    if has_history:
        config.write_text(config.read_text() + yaml.safe_dump({"history": {}, "health": {"every_s": 1}}))
    measured = measure(daemon_command(config), port, f"perceptd/{node}/+/recognition", seconds)
    ring_bytes = retained(port, f"perceptd/{node}/health")["history"]["ring_bytes"]
    return Run(measured.cpu_ms / 1000 / measured.seconds, measured.peak_pss_mb, ring_bytes / 1e6)


def _table(result: dict) -> str:
    core, pss = result["core"], result["pss_mb"]
    each = ", ".join(f"{more:.2%}" for more in result["more"]["all"])
    lines = [
        f"{'an RTSP camera of 2 Mbit/s, 640x480':<44}{'without':>12}{'kept':>12}",
        f"{'CPU, of a core':<44}{core['without']:12.2%}{core['kept']:12.2%}",
        f"{'memory (PSS), MB':<44}{pss['without']:12.1f}{pss['kept']:12.1f}",
        f"kept in memory, MB: {result['ring_mb']:.1f} of at most {MAX_BYTES / 1e6:.0f}",
        f"more CPU, of a core: {result['more']['core']:.2%} (pairs: {each})",
        f"target: less than {TARGET_CORE:.0%} of a core more: {'met' if result['met'] else 'MISSED'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
