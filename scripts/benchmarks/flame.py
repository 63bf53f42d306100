"""Where the daemon's processor time goes, as a picture: a flame graph of a replay in real time.

Every millisecond the processor time that each thread has used since is given to what the thread is doing, or was doing
before it began to wait. Time in C libraries shows under the Python function that called them.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from html import escape
from pathlib import Path
from types import FrameType

from demo import broker

from benchmarks.bundles import bundles
from benchmarks.clip import write_clip
from benchmarks.config import write_config
from daemon.cli.main import main as perceptd

EVERY_S = 0.001
WARM_UP_S = 6.0
WIDTH, ROW, MARGIN = 1400, 18, 24
LEAST_PIXELS = 2.0

COLOURS = {
    "av": "#e0a458",
    "ai_edge_litert": "#c1574a",
    "daemon.encoders": "#d98c7a",
    "daemon.sources": "#e9cf8f",
    "daemon.pipeline": "#a9b8c9",
    "daemon.fusion": "#7fa99b",
    "daemon.mqtt": "#8d9fd1",
    "paho": "#6f86c9",
}
"""By the beginning of a module's name: decoding, models, pictures and sound, capture, hand-over, fusion, MQTT."""

WAITING = {"threading.wait", "daemon.sources.replay._wait"}
"""Where a thread waits; one that was busy a millisecond ago has used its time for that."""

Stack = tuple[str, ...]


class Sampler(threading.Thread):
    """Gives the processor time of every other thread to its stack, in nanoseconds, for some seconds, then ends the
    process as its service manager would.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(name="sampler", daemon=True)
        self.stacks: Counter[Stack] = Counter()
        self._seconds = seconds

    def run(self) -> None:
        """Look every millisecond."""
        time.sleep(WARM_UP_S)
        watched = [Watched(thread) for thread in threading.enumerate() if thread is not self]
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            time.sleep(EVERY_S)
            frames = sys._current_frames()
            for thread in watched:
                if (frame := frames.get(thread.ident)) is not None:
                    stack, used_ns = thread.look(frame)
                    self.stacks[stack] += used_ns
        os.kill(os.getpid(), signal.SIGTERM)


class Watched:
    """One thread: how much processor time it has used since it was looked at last, and what for."""

    def __init__(self, thread: threading.Thread) -> None:
        self.ident = thread.ident or 0
        self._name = thread.name
        self._used = os.open(f"/proc/self/task/{thread.native_id}/schedstat", os.O_RDONLY)
        self._before_ns = self._used_ns()
        self._was: Stack = ()

    def look(self, frame: FrameType) -> tuple[Stack, int]:
        """The stack to give the time to, and the time in nanoseconds."""
        used_ns, stack = self._used_ns(), (self._name, *_stack(frame))
        taken_ns, self._before_ns = used_ns - self._before_ns, used_ns
        blamed = self._was if self._was and stack[-1] in WAITING and self._was[-1] not in WAITING else stack
        self._was = stack
        return blamed, taken_ns

    def _used_ns(self) -> int:
        return int(os.pread(self._used, 64, 0).split()[0])


def _stack(frame: FrameType | None) -> Stack:
    """Its functions from the outermost on, without what every thread begins with."""
    names = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not (module == "threading" and frame.f_code.co_name in ("run", "_bootstrap", "_bootstrap_inner")):
            names.append(f"{module}.{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(reversed(names))


def draw(stacks: Counter[Stack], seconds: float, title: str) -> str:
    """The SVG: a box is as wide as the time spent in it and in what it calls; what calls stands below."""
    whole_ns = sum(stacks.values())
    depth = max(map(len, stacks))
    height = (depth + 1) * ROW + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="11"><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="6" y="16" font-size="13">{escape(title)}: {whole_ns / 1e6 / seconds:.0f} ms of processor time a '
        "second</text>",
    ]

    def place(level: int, left: float, prefix: Stack) -> None:
        children: Counter[str] = Counter()
        for stack, used_ns in stacks.items():
            if len(stack) > level and stack[:level] == prefix:
                children[stack[level]] += used_ns
        for name, used_ns in sorted(children.items()):
            width = used_ns / whole_ns * WIDTH
            if width >= LEAST_PIXELS:
                parts.append(_box(name, used_ns, level, left, width, height, seconds, whole_ns))
                place(level + 1, left, (*prefix, name))
            left += width

    place(0, 0.0, ())
    return "\n".join([*parts, "</svg>\n"])


def _box(
    name: str, used_ns: int, level: int, left: float, width: float, height: int, seconds: float, whole_ns: int
) -> str:
    colour = next((colour for start, colour in COLOURS.items() if name.startswith(start)), "#d5d2cb")
    top = height - MARGIN - (level + 1) * ROW
    label = escape(name.removeprefix("daemon."))
    shown = label if len(label) * 6.2 < width else label.rpartition(".")[2]
    text = f'<text x="{left + 3:.1f}" y="{top + 13}">{shown}</text>' if len(shown) * 6.2 < width else ""
    return (
        f"<g><title>{label}: {used_ns / 1e6 / seconds:.1f} ms/s, {used_ns / whole_ns:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 1}" fill="{colour}" stroke="#fff" '
        f'stroke-width="0.5"/>{text}</g>'
    )


def main() -> int:
    """Run the daemon in this process and write the picture."""
    parser = argparse.ArgumentParser(prog="scripts/bench flame", description=__doc__)
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to look (default: 30)")
    parser.add_argument("--bundle", choices=("digits", "real"), default="real", help="with this one (default: real)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        for label, bundle, rate_hz in bundles(Path(name), options.bundle):
            clip, config = Path(name) / "clip.mp4", Path(name) / "config.yaml"
            write_clip(clip, rate_hz)
            write_config(config, f"bench-{label}", bundle, port, {"bench": {"replay": {"file": str(clip)}}})
            sampler = Sampler(options.seconds)
            sampler.start()
            perceptd(["run", "--config", str(config)])
            title = f"perceptd, {label} bundle, 640x480 H.264 at 30 frames a second with sound"
            options.picture.write_text(draw(sampler.stacks, options.seconds, title))
            print(f"{options.picture}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
