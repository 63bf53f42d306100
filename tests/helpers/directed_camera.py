"""A real RTSP camera with a still picture, whose sound a test directs."""

import itertools
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from daemon.core.records import Array
from tests.helpers.rtsp import PACKAGES

SERVER = Path(__file__).with_name("directed_camera_process.py")
USER, PASSWORD = "viewer", "camera hunter2"


class DirectedCamera:
    """The camera. It is silent until told otherwise."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, directory: Path) -> None:
        self._process, self._directory, self._numbers = process, directory, itertools.count()
        self.url = f"rtsp://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/camera"

    def loop(self, samples: Array | None) -> None:
        """Play this sound at 16 kHz again and again; None is silence."""
        self._tell("loop" if samples is None else f"loop {self._written(samples)}")

    def play(self, samples: Array) -> None:
        """Play a sound once, in the place of the loop, to its end."""
        self._tell(f"once {self._written(samples)}")
        assert self._process.stdout
        assert self._process.stdout.readline() == "played\n", "the camera has ended"

    def _written(self, samples: Array) -> Path:
        path = self._directory / f"sound-{next(self._numbers)}.raw"
        path.write_bytes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return path

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def directed_camera(directory: Path, within: Sequence[str] = ()) -> Iterator[DirectedCamera]:
    """Run a camera during the block. `within` is a command before its own, such as one that enters a network.

    Fails and names the Debian packages where GStreamer's server is missing.
    """
    command = [*within, "/usr/bin/python3", str(SERVER), USER, PASSWORD]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout and process.stderr
        port = process.stdout.readline().strip()
        if not port:
            process.kill()
            pytest.fail(f"no RTSP server; it needs the packages {PACKAGES}:\n{process.stderr.read()[-1000:]}")
        yield DirectedCamera(process, int(port), directory)
    finally:
        process.kill()
        process.communicate()
