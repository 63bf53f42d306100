"""Measures the daemon against a bare loop over the same inputs, in turn, several times in one run."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from demo import broker

from benchmarks.bundles import bundles
from benchmarks.clip import write_clip
from benchmarks.measured import Measured, percentile
from benchmarks.pairs import run_pairs

# Targets for the real bundle: processor time against the bare loop, p50 above the bare loop's, p99 against p50.
CPU_RATIO, MORE_P50_MS, P99_OF_P50 = 1.15, 1.5, 2.0

# Target for the digits bundle: processor time per moment above that of the bare loop. The bare loop fuses and publishes
# too.
MORE_CPU_MS = 0.4

PSS_MB = {"digits": 80.0, "real": 100.0}


def main() -> int:
    """Print the tables; the exit code is 1 when a target is missed."""
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
            rows = run_pairs(
                Path(name),
                label,
                bundle,
                clip,
                port,
                pairs=options.pairs,
                seconds=options.seconds,
                report=not options.json,
            )
            result = _result(label, *rows)
            print(json.dumps(result) if options.json else _table(result), flush=True)
            met = met and all(result["targets"].values())
    return 0 if met else 1


def _result(label: str, daemon: list[Measured], bare_loop: list[Measured]) -> dict:
    ratios = [a.cpu_ms_a_moment / b.cpu_ms_a_moment for a, b in zip(daemon, bare_loop, strict=True)]
    result = {
        "bundle": label,
        "cpu_ratio": {"median": statistics.median(ratios), "all": ratios},
        "more_cpu_ms": statistics.median(
            a.cpu_ms_a_moment - b.cpu_ms_a_moment for a, b in zip(daemon, bare_loop, strict=True)
        ),
        "daemon": _figures(daemon),
        "bare": _figures(bare_loop),
    }
    return {**result, "targets": _targets(result)}


def _targets(result: dict) -> dict[str, bool]:
    """Each target of the bundle as text, and whether it is met."""
    daemon, bare, pss_mb = result["daemon"], result["bare"], PSS_MB[result["bundle"]]
    memory = {f"PSS at most {pss_mb:.0f} MB": daemon["pss_mb"] <= pss_mb}
    if result["bundle"] == "digits":
        return {f"CPU at most {MORE_CPU_MS} ms a moment more": result["more_cpu_ms"] <= MORE_CPU_MS, **memory}
    return {
        f"CPU at most {CPU_RATIO} x": result["cpu_ratio"]["median"] <= CPU_RATIO,
        f"p50 at most {MORE_P50_MS} ms more": daemon["p50_ms"] <= bare["p50_ms"] + MORE_P50_MS,
        f"p99 at most {P99_OF_P50:g} x p50": daemon["p99_ms"] <= P99_OF_P50 * daemon["p50_ms"],
        **memory,
    }


def _figures(runs: list[Measured]) -> dict[str, float]:
    return {
        "moments_a_run": statistics.median(run.moments for run in runs),
        "cpu_ms_a_moment": statistics.median(run.cpu_ms_a_moment for run in runs),
        "p50_ms": statistics.median(percentile(run.latencies_ms, 0.50) for run in runs),
        "p99_ms": statistics.median(percentile(run.latencies_ms, 0.99) for run in runs),
        "pss_mb": max(run.peak_pss_mb for run in runs),
    }


def _table(result: dict) -> str:
    daemon, bare = result["daemon"], result["bare"]
    each = ", ".join(f"{ratio:.2f}" for ratio in result["cpu_ratio"]["all"])
    lines = [
        f"\n{result['bundle']} bundle, 640x480 at 30 frames a second with sound{'daemon':>12}{'bare loop':>12}",
        f"{'CPU time a moment, ms':<58}{daemon['cpu_ms_a_moment']:12.2f}{bare['cpu_ms_a_moment']:12.2f}",
        f"{'capture to subscriber, p50, ms':<58}{daemon['p50_ms']:12.1f}{bare['p50_ms']:12.1f}",
        f"{'capture to subscriber, p99, ms':<58}{daemon['p99_ms']:12.1f}{bare['p99_ms']:12.1f}",
        f"{'peak memory (PSS), MB':<58}{daemon['pss_mb']:12.0f}{bare['pss_mb']:12.0f}",
        f"{'moments a run':<58}{daemon['moments_a_run']:12.0f}{bare['moments_a_run']:12.0f}",
        f"CPU time, daemon / bare loop: {result['cpu_ratio']['median']:.2f} (pairs: {each}); "
        f"{result['more_cpu_ms']:.2f} ms a moment more",
        "targets: " + ", ".join(f"{name}: {'met' if met else 'MISSED'}" for name, met in result["targets"].items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
