"""Measures the memory of a node with the bundle home while nothing moves, by its kinds.

One RTSP camera of 640x480 sends a still picture and silence; gates are on, and the node may be taught. All pages of the
process count, also those that other programs share: so the figure is that of a machine where nothing else runs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import yaml
from demo import broker

from benchmarks.cameras import SAMPLE_RATE_HZ, serve
from benchmarks.clip import AS_CAMERA, HEIGHT, WIDTH
from benchmarks.home import PSS_MB, add_options, build_home
from benchmarks.process import cpu_s, daemon_command, running
from benchmarks.repeat import write_repeated

NODE, FPS, ONCE_S, KEY_EVERY = "bench", 10, 10, 20
# the last minute is measured; before it the node starts, settles and fills what it keeps
LAST_S, LEAST_MINUTES = 60.0, 2.0
# kB of a MB, as in the campaign `journey`
KB = 1000

KINDS = {
    "allocated": "allocated",
    "models": "files of the models, of which nobody can change what runs",
    "files": "pages in use of the program and its libraries",
}


def main() -> int:
    """Print the table; the exit code is 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench idle", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long the node runs, from 2 on (default: 3)")
    add_options(parser)
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES:
        parser.error("--minutes: at least 2")
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        directory = Path(name)
        bundle = options.bundle or build_home(directory / "home", options.from_dir)
        once, recording = directory / "once.mp4", directory / "recording.mp4"
        write_still(once)
        write_repeated(once, recording, options.minutes * 60 + LAST_S)
        with serve([recording], FPS) as server:
            config = _config(directory, bundle, port, server.urls[0])
            with running(daemon_command(config)) as process:
                time.sleep(options.minutes * 60 - LAST_S)
                used_s = cpu_s(process.pid)
                time.sleep(LAST_S)
                if process.has_ended:
                    process.fail("the daemon ended before the measurement did")
                used_s = cpu_s(process.pid) - used_s
                with Path(f"/proc/{process.pid}/smaps").open() as mappings:
                    result = result_of(mappings, used_s / LAST_S * 1000)
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["met"] else 1


def write_still(path: Path) -> None:
    """Write some seconds of a picture that stands still, coded as a camera does, and of silence."""
    picture = np.random.default_rng(1).integers(0, 255, (HEIGHT // 32, WIDTH // 32, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(np.kron(picture, np.ones((32, 32, 1), np.uint8)), format="bgr24")
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "g": str(KEY_EVERY)} | AS_CAMERA
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for number in range(ONCE_S * FPS):
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        for start in range(0, ONCE_S * SAMPLE_RATE_HZ, 1024):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts = SAMPLE_RATE_HZ, start
            container.mux(sound.encode(block))
        container.mux(sound.encode())


def _config(directory: Path, bundle: Path, port: int, url: str) -> Path:
    """The config that setup writes, with gates."""
    stream = {"camera": url, "microphone": "camera", "gates": {"motion": {}, "sound": {}}}
    places = {"bundle": str(bundle), "state_directory": str(directory / "state"), "log_level": "warning"}
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({"node": NODE, "mqtt": {"port": port}, "streams": {"door": stream}, **places}))
    return path


def result_of(mappings: Iterable[str], cpu_ms_s: float) -> dict:
    """The memory by kind, in MB, of a process with these lines in /proc/PID/smaps, and whether the target is met."""
    kinds = dict.fromkeys(KINDS, 0.0)
    for path, all_kb, own_kb in _mappings(mappings):
        kinds["allocated"] += own_kb / KB
        kinds["models" if path.startswith("/memfd:") else "files"] += (all_kb - own_kb) / KB
    total_mb = sum(kinds.values())
    return {"mb": kinds, "total_mb": total_mb, "cpu_ms_s": cpu_ms_s, "met": total_mb < PSS_MB}


def _mappings(lines: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the path of each mapping, its kB in memory, and how many of them are the process's own."""
    path, in_memory_kb = "", 0
    for line in lines:
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):
            path = rest[-1]
        elif first == "Rss:":
            in_memory_kb = int(rest[0])
        elif first == "Anonymous:":
            yield path, in_memory_kb, int(rest[0])


def _table(result: dict) -> str:
    lines = [f"{text:<62}{result['mb'][kind]:8.1f}" for kind, text in KINDS.items()]
    outcome = "met" if result["met"] else "MISSED"
    lines = ["memory of home with an RTSP camera, nothing moving, MB", *lines]
    lines += [f"{'together':<62}{result['total_mb']:8.1f}"]
    lines += [f"CPU time, ms a second: {result['cpu_ms_s']:.1f}", f"target: less than {PSS_MB:.0f} MB: {outcome}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
