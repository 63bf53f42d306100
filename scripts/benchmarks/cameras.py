"""RTSP cameras on this machine: one server that sends recordings unchanged.

Each camera has its own recording, because identical pictures are encoded only once.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clip import BITS_A_SECOND, write_clip
from benchmarks.process import cpu_s
from benchmarks.repeat import write_repeated

# The server sends a frame of sound when it begins, a camera when it has ended. At this rate the difference is 21 ms,
# not 64 ms.
SAMPLE_RATE_HZ = 48_000

SERVER = Path(__file__).with_name("rtsp_server.py")


@dataclass(frozen=True, slots=True)
class Cameras:
    """A server of cameras, each under its own URL."""

    urls: Sequence[str]
    pid: int
    fps: int

    @property
    def cpu_s(self) -> float:
        """Processor time that the server has used so far, in seconds."""
        return cpu_s(self.pid)


@contextmanager
def cameras(
    directory: Path, count: int, fps: int, lasts_s: float, bits_a_second: int = BITS_A_SECOND
) -> Iterator[Cameras]:
    """Serve `count` cameras at `fps` for `lasts_s`. Raises SystemExit if the server does not start."""
    recordings = [_recording(directory, number, fps, lasts_s, bits_a_second) for number in range(count)]
    with serve(recordings, fps) as server:
        yield server


@contextmanager
def serve(recordings: Sequence[Path], fps: int) -> Iterator[Cameras]:
    """Serve a camera for each recording. Raises SystemExit if the server does not start."""
    process = subprocess.Popen(["/usr/bin/python3", SERVER, *recordings], stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise SystemExit("the RTSP server did not start; scripts/bench streams installs its packages")
        yield Cameras([f"rtsp://127.0.0.1:{port}/{number}" for number in range(len(recordings))], process.pid, fps)
    finally:
        process.kill()
        process.communicate()


def _recording(directory: Path, number: int, fps: int, lasts_s: float, bits_a_second: int) -> Path:
    once, recording = (directory / f"{name}-{number}-{fps}.mp4" for name in ("once", "recording"))
    write_clip(once, SAMPLE_RATE_HZ, fps, as_camera=True, seed=number, bits_a_second=bits_a_second)
    write_repeated(once, recording, lasts_s)
    return recording
