"""What each further stream costs, and how streams share the processor: RTSP cameras with sound, 640x480.

The cameras' server, the broker and the subscriber run on the same machine: what they use is not counted, but they take
it from the daemon.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from demo import broker

from benchmarks.bundles import bundles
from benchmarks.cameras import Cameras, cameras
from benchmarks.config import write_config
from benchmarks.measured import FIRST_DEADLINE_S, WARM_UP_S, measure
from benchmarks.memory import TARGET_MB
from benchmarks.process import daemon_command
from benchmarks.sharing import (
    TARGET_CPU,
    TARGET_INTERVALS,
    TARGET_SHARE,
    figures,
    is_overloaded,
    misses,
    pss_a_stream_mb,
)

FPS = 10
OVERLOAD_FPS = 30
"""For one run more, where no number of streams was too much for the machine."""

TITLE = (
    "real bundle, 640x480 with sound; rates from the stream that has least to the one that has most; share, p99 and "
    "3 intervals of the worst"
)
HEAD = (
    f"{'':>11}{'CPU, ms/s':>17}{'CPU, ms':>9}{'':>24}{'share':>7}{'p50':>6}{'p99':>6}{'3 inter-':>9}{'PSS':>6}"
    f"{'grown':>7}{'descrip-':>9}{'':>8}{'server':>8}\n"
    f"{'streams':>7}{'fps':>4}{'all':>8}{'stream':>9}{'moment':>9}{'pictures/s':>12}{'moments/s':>12}{'%':>7}{'ms':>6}"
    f"{'ms':>6}{'vals, ms':>9}{'MB':>6}{'MB':>7}{'tors':>9}{'threads':>8}{'ms/s':>8}"
)


def main() -> int:
    """Print the table; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench streams", description=__doc__)
    parser.add_argument("--streams", type=_numbers, default=[1, 2, 4, 8], help="how many in turn (default: 1,2,4,8)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is measured (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        found = next(bundles(Path(name), "real"), None)
        if found is None:
            return 1
        rows = _rows(Path(name), found[1], port, options)
    missed = [told for row in rows for told in misses(row, rows[0])]
    print(json.dumps({"rows": rows, "missed": missed}) if options.json else _table(rows, missed))
    return 1 if missed else 0


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _rows(directory: Path, bundle: Path, port: int, options: argparse.Namespace) -> list[dict]:
    lasts_s = FIRST_DEADLINE_S + WARM_UP_S + options.seconds
    most = max(options.streams)
    with cameras(directory, most, FPS, lasts_s) as served:
        rows = [_run(directory, bundle, port, served, count, options.seconds) for count in options.streams]
    if not any(is_overloaded(row) for row in rows):
        with cameras(directory, most, OVERLOAD_FPS, lasts_s) as served:
            rows.append(_run(directory, bundle, port, served, most, options.seconds))
    return rows


def _run(directory: Path, bundle: Path, port: int, served: Cameras, count: int, seconds: float) -> dict:
    node = f"bench-{count}-{served.fps}"
    config = directory / f"{node}.yaml"
    names = [f"camera-{number}" for number in range(1, count + 1)]
    streams = {
        name: {"camera": {"device": url}, "microphone": "camera"} for name, url in zip(names, served.urls, strict=False)
    }
    write_config(config, node, bundle, port, streams)
    served_s, began_s = served.cpu_s, time.monotonic()
    measured = measure(daemon_command(config), port, f"perceptd/{node}/+/recognition", seconds, topics=count)
    server_ms_s = (served.cpu_s - served_s) * 1000 / (time.monotonic() - began_s)
    print(f"{count} at {served.fps} fps done", file=sys.stderr, flush=True)
    topics = [f"perceptd/{node}/{name}/recognition" for name in names]
    return {"fps": served.fps, **figures(measured, topics), "server_cpu_ms_s": server_ms_s}


def _table(rows: Sequence[dict], missed: Sequence[str]) -> str:
    more_mb = pss_a_stream_mb(rows)
    lines = [TITLE, HEAD, *map(_line, rows)]
    lines += [] if more_mb is None else [f"a stream more takes {more_mb:.1f} MB (PSS)"]
    lines.append(
        f"targets: a stream takes at most {TARGET_CPU:g} x the CPU time of one of {rows[0]['streams']}, gets at least "
        f"{TARGET_SHARE:.0%} of its fair share, p99 is under {TARGET_INTERVALS} intervals, allocated memory grows by "
        f"at most {TARGET_MB:g} MB: {'MISSED' if missed else 'met'}"
    )
    return "\n".join([*lines, *missed])


def _line(row: dict) -> str:
    pictures, moments = (f"{rates[0]:.1f}..{rates[-1]:.1f}" for rates in (row["pictures_s"], row["moments_s"]))
    return (
        f"{row['streams']:7}{row['fps']:4}{row['cpu_ms_s']:8.0f}{row['cpu_ms_s_a_stream']:9.1f}"
        f"{row['cpu_ms_a_moment']:9.2f}{pictures:>12}{moments:>12}{row['share'] * 100:7.0f}{row['p50_ms']:6.0f}"
        f"{row['p99_ms']:6.0f}{row['intervals_ms']:9.0f}{row['pss_mb']:6.0f}{row['grown_mb']:7.1f}"
        f"{row['descriptors']:9}{row['threads']:8}{row['server_cpu_ms_s']:8.0f}"
        f"{'  overload' if is_overloaded(row) else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
