"""Draws the daemon's processor time as a flame graph, over a replay in real time.

Every millisecond the sampler adds each thread's processor time to the thread's current stack. Where the thread waits by
then, its previous stack gets the time. Time in C libraries shows under the Python function that called them.
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

# Colours by the beginning of a module name: two libraries, the rooms of the daemon, and the MQTT library.
COLOURS = {
    "av": "#e0a458",
    "ai_edge_litert": "#c1574a",
    "daemon.core": "#c4bda8",
    "daemon.bundle": "#bfa58a",
    "daemon.config": "#c9b7a0",
    "daemon.runtime": "#b7c49a",
    "daemon.sources": "#e9cf8f",
    "daemon.encoders": "#d98c7a",
    "daemon.fusion": "#7fa99b",
    "daemon.inference": "#cf9a9f",
    "daemon.mqtt": "#8d9fd1",
    "daemon.pipeline": "#a9b8c9",
    "daemon.node": "#b9a3c9",
    "paho": "#6f86c9",
}


Stack = tuple[str, ...]


class Sampler(threading.Thread):
    """Adds the processor time of every other thread to its stack, in nanoseconds.

    After some seconds it ends the process with SIGTERM, like a service manager.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(name="sampler", daemon=True)
        self.stacks: Counter[Stack] = Counter()
        self._seconds = seconds

    def run(self) -> None:
        """Sample every millisecond."""
        time.sleep(WARM_UP_S)
        watched = [WatchedThread(thread) for thread in threading.enumerate() if thread is not self]
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            time.sleep(EVERY_S)
            frames = sys._current_frames()
            for thread in watched:
                if (frame := frames.get(thread.ident)) is not None:
                    stack, used_ns = thread.sample(frame)
                    self.stacks[stack] += used_ns
        os.kill(os.getpid(), signal.SIGTERM)


class WatchedThread:
    """The processor time of one thread since the last sample, and the stack that used it."""

    def __init__(self, thread: threading.Thread) -> None:
        self.ident = thread.ident or 0
        self._name = thread.name
        self._used = os.open(f"/proc/self/task/{thread.native_id}/schedstat", os.O_RDONLY)
        self._before_ns = self._used_ns()
        self._previous: Stack = ()

    def sample(self, frame: FrameType) -> tuple[Stack, int]:
        """The stack that the time is added to, and the time in nanoseconds."""
        used_ns, stack = self._used_ns(), (self._name, *_stack(frame))
        taken_ns, self._before_ns = used_ns - self._before_ns, used_ns
        # a thread that waits now has used its time for what it did before
        charged = self._previous if self._previous and _is_waiting(stack) and not _is_waiting(self._previous) else stack
        self._previous = stack
        return charged, taken_ns

    def _used_ns(self) -> int:
        return int(os.pread(self._used, 64, 0).split()[0])


def _is_waiting(stack: Stack) -> bool:
    # `Condition.wait` and `Event.wait` of threading, and `_wait` of a replay
    return stack[-1].rpartition(".")[2].lstrip("_") == "wait"


def _stack(frame: FrameType | None) -> Stack:
    """The functions of the stack from the outermost on, without the common start of all threads."""
    names = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not (module == "threading" and frame.f_code.co_name in ("run", "_bootstrap", "_bootstrap_inner")):
            names.append(f"{module}.{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(reversed(names))


def draw(stacks: Counter[Stack], seconds: float, title: str) -> str:
    """The SVG: a box is as wide as the time spent in it and in its callees, and its caller is below it."""
    total_ns = sum(stacks.values())
    depth = max(map(len, stacks))
    height = (depth + 1) * ROW + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="11"><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="6" y="16" font-size="13">{escape(title)}: {total_ns / 1e6 / seconds:.0f} ms of processor time a '
        "second</text>",
    ]

    def place(level: int, left: float, prefix: Stack) -> None:
        children: Counter[str] = Counter()
        for stack, used_ns in stacks.items():
            if len(stack) > level and stack[:level] == prefix:
                children[stack[level]] += used_ns
        for name, used_ns in sorted(children.items()):
            width = used_ns / total_ns * WIDTH
            if width >= LEAST_PIXELS:
                parts.append(_box(name, used_ns, level, left, width, height, seconds, total_ns))
                place(level + 1, left, (*prefix, name))
            left += width

    place(0, 0.0, ())
    return "\n".join([*parts, "</svg>\n"])


def _box(
    name: str, used_ns: int, level: int, left: float, width: float, height: int, seconds: float, total_ns: int
) -> str:
    colour = next((colour for start, colour in COLOURS.items() if name.startswith(start)), "#d5d2cb")
    top = height - MARGIN - (level + 1) * ROW
    label = escape(name.removeprefix("daemon."))
    shown = label if len(label) * 6.2 < width else label.rpartition(".")[2]
    text = f'<text x="{left + 3:.1f}" y="{top + 13}">{shown}</text>' if len(shown) * 6.2 < width else ""
    return (
        f"<g><title>{label}: {used_ns / 1e6 / seconds:.1f} ms/s, {used_ns / total_ns:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 1}" fill="{colour}" stroke="#fff" '
        f'stroke-width="0.5"/>{text}</g>'
    )


def main() -> int:
    """Run the daemon in this process and write the picture."""
    parser = argparse.ArgumentParser(prog="scripts/bench flame", description=__doc__)
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to sample (default: 30)")
    parser.add_argument("--bundle", choices=("digits", "real"), default="real", help="bundle to run (default: real)")
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
            print(f"wrote {options.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
