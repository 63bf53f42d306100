"""The daemon against a bare loop over the same inputs, in turn, several times in one run."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from demo import broker

from benchmarks.bundles import bundles
from benchmarks.clip import write_clip
from benchmarks.config import write_config
from benchmarks.measured import Measured, measure, percentile
from benchmarks.process import daemon_command

TARGETS = {"cpu": 1.35, "p50_ms": 4.0, "pss_mb": 150.0}


def main() -> int:
    """Print the table; the exit code is 1 when a target of the real bundle is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench pipeline", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each run is measured (default: 15)")
    parser.add_argument("--pairs", type=int, default=3, help="how often the two are run in turn (default: 3)")
    parser.add_argument("--bundle", choices=("digits", "real"), help="measure only with this one")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        for label, bundle, rate_hz in bundles(Path(name), options.bundle):
            clip = Path(name) / f"{label}.mp4"
            write_clip(clip, rate_hz)
            rows = _run_pairs(Path(name), label, bundle, clip, port, options)
            result = _result(label, *rows)
            print(json.dumps(result) if options.json else _table(result), flush=True)
            met = met and (label != "real" or _met(result))
    return 0 if met else 1


def _run_pairs(
    directory: Path, label: str, bundle: Path, clip: Path, port: int, options: argparse.Namespace
) -> tuple[list[Measured], list[Measured]]:
    config = directory / f"{label}.yaml"
    write_config(config, f"bench-{label}", bundle, port, {"bench": {"replay": {"file": str(clip)}}})
    bare = [sys.executable, "-m", "benchmarks.bare", bundle, clip, "--port", port, "--topic", "bare", "--seconds", 3600]
    ours, theirs = [], []
    for turn in range(options.pairs):
        ours.append(measure(daemon_command(config), port, f"perceptd/bench-{label}/+/recognition", options.seconds))
        theirs.append(measure(bare, port, "bare", options.seconds))
        if not options.json:
            print(f"{label}: pair {turn + 1} of {options.pairs} done", file=sys.stderr, flush=True)
    return ours, theirs


def _result(label: str, ours: list[Measured], theirs: list[Measured]) -> dict:
    ratios = [a.cpu_ms_a_moment / b.cpu_ms_a_moment for a, b in zip(ours, theirs, strict=True)]
    return {
        "bundle": label,
        "cpu_ratio": {"median": statistics.median(ratios), "all": ratios},
        "daemon": _figures(ours),
        "bare": _figures(theirs),
    }


def _figures(runs: list[Measured]) -> dict[str, float]:
    return {
        "moments_a_run": statistics.median(run.moments for run in runs),
        "cpu_ms_a_moment": statistics.median(run.cpu_ms_a_moment for run in runs),
        "p50_ms": statistics.median(percentile(run.latencies_ms, 0.50) for run in runs),
        "p99_ms": statistics.median(percentile(run.latencies_ms, 0.99) for run in runs),
        "pss_mb": max(run.peak_pss_mb for run in runs),
    }


def _met(result: dict) -> bool:
    ours, bare = result["daemon"], result["bare"]
    return (
        result["cpu_ratio"]["median"] <= TARGETS["cpu"]
        and ours["p50_ms"] <= bare["p50_ms"] + TARGETS["p50_ms"]
        and ours["pss_mb"] <= TARGETS["pss_mb"]
    )


def _table(result: dict) -> str:
    ours, bare = result["daemon"], result["bare"]
    each = ", ".join(f"{ratio:.2f}" for ratio in result["cpu_ratio"]["all"])
    lines = [
        f"\n{result['bundle']} bundle, 640x480 at 30 frames a second with sound{'daemon':>12}{'bare loop':>12}",
        f"{'CPU time a moment, ms':<58}{ours['cpu_ms_a_moment']:12.2f}{bare['cpu_ms_a_moment']:12.2f}",
        f"{'capture to subscriber, p50, ms':<58}{ours['p50_ms']:12.1f}{bare['p50_ms']:12.1f}",
        f"{'capture to subscriber, p99, ms':<58}{ours['p99_ms']:12.1f}{bare['p99_ms']:12.1f}",
        f"{'peak memory (PSS), MB':<58}{ours['pss_mb']:12.0f}{bare['pss_mb']:12.0f}",
        f"{'moments a run':<58}{ours['moments_a_run']:12.0f}{bare['moments_a_run']:12.0f}",
        f"CPU time, daemon / bare loop: {result['cpu_ratio']['median']:.2f} (pairs: {each})",
    ]
    if result["bundle"] == "real":
        lines.append(
            f"targets: CPU at most {TARGETS['cpu']} x, p50 at most bare + {TARGETS['p50_ms']} ms, "
            f"PSS at most {TARGETS['pss_mb']:.0f} MB: {'met' if _met(result) else 'MISSED'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
