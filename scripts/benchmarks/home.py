"""Measures the daemon with the bundle home against a bare loop that does the same, in turn, several times in one run.

The recording is a camera's: pictures and sound. The encoders work at the rates of the bundle.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import broker

from benchmarks.bundles import ROOT, SHARED_MODELS
from benchmarks.clip import write_clip
from benchmarks.measured import Measured
from benchmarks.pairs import run_pairs

CPU_RATIO, PSS_MB = 1.3, 130.0

RECIPE = ROOT / "models" / "home" / "recipe.yaml"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which bundle is measured, and how the result is printed."""
    parser.add_argument(
        "--from",
        dest="from_dir",
        type=Path,
        default=SHARED_MODELS,
        metavar="DIR",
        help="directory with the models of others of which home is built (default: ../shared/models)",
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="measure with this bundle, do not build home")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def main() -> int:
    """Print the table; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench home", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is measured (default: 30)")
    parser.add_argument("--pairs", type=int, default=3, help="how often the two are run in turn (default: 3)")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        directory = Path(name)
        bundle = options.bundle or build_home(directory / "home", options.from_dir)
        clip = directory / "clip.mp4"
        write_clip(clip, as_camera=True)
        runs = run_pairs(
            directory,
            "home",
            bundle,
            clip,
            port,
            pairs=options.pairs,
            seconds=options.seconds,
            report=not options.json,
        )
    result = result_of(*runs)
    print(json.dumps(result) if options.json else _table(result))
    return 0 if all(result["targets"].values()) else 1


def build_home(bundle: Path, from_dir: Path) -> Path:
    """Build home. Raises SystemExit when the command fails; it has printed why."""
    command = [sys.executable, "-m", "daemon", "bundle", "build", RECIPE, "--out", bundle, "--from", from_dir]
    built = subprocess.run([str(part) for part in command], check=False, cwd=ROOT, stdout=subprocess.DEVNULL)
    if built.returncode != 0:
        raise SystemExit(built.returncode)
    return bundle


def result_of(daemon: list[Measured], bare_loop: list[Measured]) -> dict:
    """The figures of all runs, and each target as text with whether it is met."""
    ratios = [_cpu_ms_s(a) / _cpu_ms_s(b) for a, b in zip(daemon, bare_loop, strict=True)]
    ratio, figures = statistics.median(ratios), {"daemon": _figures(daemon), "bare": _figures(bare_loop)}
    return {
        "cpu_ratio": {"median": ratio, "all": ratios},
        **figures,
        "targets": {
            f"CPU at most {CPU_RATIO} x": ratio <= CPU_RATIO,
            f"PSS at most {PSS_MB:.0f} MB": figures["daemon"]["pss_mb"] <= PSS_MB,
        },
    }


def _cpu_ms_s(run: Measured) -> float:
    return run.cpu_ms / run.seconds


def _figures(runs: list[Measured]) -> dict[str, float]:
    return {
        "cpu_ms_s": statistics.median(_cpu_ms_s(run) for run in runs),
        "moments_s": statistics.median(run.moments / run.seconds for run in runs),
        "pss_mb": max(run.peak_pss_mb for run in runs),
        "allocated_mb": max(sample.allocated_mb for run in runs for sample in run.footprints),
    }


def _table(result: dict) -> str:
    daemon, bare = result["daemon"], result["bare"]
    each = ", ".join(f"{ratio:.2f}" for ratio in result["cpu_ratio"]["all"])
    rows = {
        "CPU time, ms a second": "cpu_ms_s",
        "moments a second": "moments_s",
        "peak memory (PSS), MB": "pss_mb",
        "of it allocated, MB": "allocated_mb",
    }
    return "\n".join(
        [
            f"{'home, 640x480 at 30 frames a second with sound':<58}{'daemon':>12}{'bare loop':>12}",
            *[f"{text:<58}{daemon[name]:12.1f}{bare[name]:12.1f}" for text, name in rows.items()],
            f"CPU time, daemon / bare loop: {result['cpu_ratio']['median']:.2f} (pairs: {each})",
            "targets: " + ", ".join(f"{name}: {'met' if met else 'MISSED'}" for name, met in result["targets"].items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
