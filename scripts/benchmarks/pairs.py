"""Runs the daemon and the bare loop over one recording with one bundle, in turn, several times."""

import sys
from pathlib import Path

from benchmarks.config import write_config
from benchmarks.measured import Measured, measure
from benchmarks.process import daemon_command


def run_pairs(
    directory: Path, label: str, bundle: Path, clip: Path, port: int, *, pairs: int, seconds: float, report: bool
) -> tuple[list[Measured], list[Measured]]:
    """The runs of the daemon, and those of the bare loop. With `report` each pair is reported on standard error."""
    config = directory / f"{label}.yaml"
    write_config(config, f"bench-{label}", bundle, port, {"bench": {"replay": {"file": str(clip)}}})
    bare = [sys.executable, "-m", "benchmarks.bare", bundle, clip, "--port", port, "--topic", "bare", "--seconds", 3600]
    daemon, bare_loop = [], []
    for turn in range(pairs):
        daemon.append(measure(daemon_command(config), port, f"perceptd/bench-{label}/+/recognition", seconds))
        bare_loop.append(measure(bare, port, "bare", seconds))
        if report:
            print(f"{label}: pair {turn + 1} of {pairs} done", file=sys.stderr, flush=True)
    return daemon, bare_loop
