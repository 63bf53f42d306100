"""Measures the time from the start of the daemon's process to the first recognition at a subscriber, with warm files.

For comparison it measures, in turn, the import of the libraries that any such program needs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo import broker

from benchmarks.bundles import bundles
from benchmarks.clip import write_clip
from benchmarks.config import write_config
from benchmarks.measured import Subscriber
from benchmarks.process import daemon_command, running

TARGET_S = 1.5
IMPORTS = "import numpy, cv2, av, ai_edge_litert.interpreter"


def main() -> int:
    """Print the table; the exit code is 1 when the median of a bundle is over the target."""
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="how often each is started (default: 5)")
    parser.add_argument("--bundle", choices=("digits", "real"), help="measure only with this one")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        for label, bundle, rate_hz in bundles(Path(name), options.bundle):
            clip, config = Path(name) / f"{label}.mp4", Path(name) / f"{label}.yaml"
            write_clip(clip, rate_hz)
            write_config(config, f"bench-{label}", bundle, port, {"bench": {"replay": {"file": str(clip)}}})
            result = _result(label, _starts(config, f"perceptd/bench-{label}/+/recognition", port, options.starts))
            print(json.dumps(result) if options.json else _table(result), flush=True)
            met = met and result["start_s"]["median"] <= TARGET_S
    return 0 if met else 1


def _starts(config: Path, topic: str, port: int, count: int) -> list[tuple[float, float]]:
    """Seconds of each start and of each import, in turn. An additional first pair only brings files into memory."""
    return [(_start_s(config, topic, port), _import_s()) for _ in range(count + 1)][1:]


def _start_s(config: Path, topic: str, port: int) -> float:
    subscriber = Subscriber(port, topic)
    began_s = time.monotonic()
    try:
        with running(daemon_command(config)) as process:
            subscriber.wait_for(1, process)
    finally:
        subscriber.close()
    return subscriber.first_s - began_s


def _import_s() -> float:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.monotonic() - began_s


def _result(label: str, times_s: list[tuple[float, float]]) -> dict:
    starts_s, imports_s = zip(*times_s, strict=True)
    return {
        "bundle": label,
        "start_s": {"median": statistics.median(starts_s), "all": starts_s},
        "imports_s": {"median": statistics.median(imports_s), "all": imports_s},
    }


def _table(result: dict) -> str:
    rows = [("start to first recognition", "start_s"), (f'python -c "{IMPORTS}"', "imports_s")]
    lines = [f"\n{result['bundle']} bundle, replayed in real time{'median, s':>35}   all"]
    for title, key in rows:
        each = ", ".join(f"{seconds:.2f}" for seconds in result[key]["all"])
        lines.append(f"{title:<61}{result[key]['median']:9.2f}   {each}")
    met = "met" if result["start_s"]["median"] <= TARGET_S else "MISSED"
    return "\n".join([*lines, f"target: at most {TARGET_S} s at the median: {met}"])


if __name__ == "__main__":
    sys.exit(main())
