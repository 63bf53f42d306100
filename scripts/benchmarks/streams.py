"""Measures the cost of each further stream, and how streams share the processor: RTSP cameras with sound, 640x480.

Server, broker and subscriber run on the same machine. Their processor time is not counted, but the daemon cannot use
it.
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
# Frame rate of an additional run, if no number of streams has overloaded the machine.
OVERLOAD_FPS = 30

TITLE = (
    "real bundle, 640x480 with sound; rates of the streams with the least and the most; share, p99 and "
    "3 intervals of the worst stream"
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
    parser.add_argument(
        "--streams", type=_numbers, default=[1, 2, 4, 8], help="numbers of streams to run in turn (default: 1,2,4,8)"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is measured (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        found = next(bundles(Path(name), "real"), None)
        if found is None:
            return 1
        rows = _rows(Path(name), found[1], port, options)
    missed = [miss for row in rows for miss in misses(row, rows[0])]
    print(json.dumps({"rows": rows, "missed": missed}) if options.json else _table(rows, missed))
    return 1 if missed else 0


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _rows(directory: Path, bundle: Path, port: int, options: argparse.Namespace) -> list[dict]:
    lasts_s = FIRST_DEADLINE_S + WARM_UP_S + options.seconds
    most = max(options.streams)
    with cameras(directory, most, FPS, lasts_s) as server:
        rows = [_run(directory, bundle, port, server, count, options.seconds) for count in options.streams]
    if not any(is_overloaded(row) for row in rows):
        with cameras(directory, most, OVERLOAD_FPS, lasts_s) as server:
            rows.append(_run(directory, bundle, port, server, most, options.seconds))
    return rows


def _run(directory: Path, bundle: Path, port: int, server: Cameras, count: int, seconds: float) -> dict:
    node = f"bench-{count}-{server.fps}"
    config = directory / f"{node}.yaml"
    names = [f"camera-{number}" for number in range(1, count + 1)]
    streams = {
        name: {"camera": {"device": url}, "microphone": "camera"} for name, url in zip(names, server.urls, strict=False)
    }
    write_config(config, node, bundle, port, streams)
    before_s, began_s = server.cpu_s, time.monotonic()
    measured = measure(daemon_command(config), port, f"perceptd/{node}/+/recognition", seconds, topics=count)
    server_ms_s = (server.cpu_s - before_s) * 1000 / (time.monotonic() - began_s)
    print(f"{count} at {server.fps} fps done", file=sys.stderr, flush=True)
    topics = [f"perceptd/{node}/{name}/recognition" for name in names]
    return {"fps": server.fps, **figures(measured, topics), "server_cpu_ms_s": server_ms_s}


def _table(rows: Sequence[dict], missed: Sequence[str]) -> str:
    more_mb = pss_a_stream_mb(rows)
    lines = [TITLE, HEAD, *map(_line, rows)]
    lines += [] if more_mb is None else [f"one more stream takes {more_mb:.1f} MB (PSS)"]
    lines.append(
        f"targets: a stream takes at most {TARGET_CPU:g} x the CPU time of one among {rows[0]['streams']} and gets "
        f"at least {TARGET_SHARE:.0%} of its fair share, p99 is under {TARGET_INTERVALS} intervals, allocated memory "
        f"grows by at most {TARGET_MB:g} MB: {'MISSED' if missed else 'met'}"
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
