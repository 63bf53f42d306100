"""Cameras that can be killed, frozen, given another login or path, and restarted at the same port."""

import contextlib
import signal
import subprocess

from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.ports import free_port
from tests.helpers.rtsp import SERVER


class FaultyRtsp:
    """An RTSP camera in its own process, always at the same port."""

    def __init__(self, audio: str = "aac") -> None:
        self.port = free_port()
        self.audio = audio
        self._process: subprocess.Popen[str] | None = None

    def url(self, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/camera"

    def start(self, *login: str, path: str = "/camera") -> None:
        """Start the camera, and wait until it listens."""
        options = ["--port", str(self.port), "--path", path, *(("--login", *login) if login else ())]
        self._process = subprocess.Popen(
            ["/usr/bin/python3", SERVER, self.audio, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline().strip() == str(self.port)

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes it, SIGCONT thaws it, SIGUSR1 changes the size of its picture."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


class RestartableMjpeg:
    """An MJPEG camera that can be killed and restarted, always at the same port."""

    def __init__(self, login: tuple[str, str] | None) -> None:
        self._login = login
        self.port = free_port()
        self._serving = contextlib.ExitStack()

    def start(self) -> None:
        self.camera = MjpegCamera(port=self.port, login=self._login, fps=15)
        self._serving.enter_context(self.camera.serving())

    def kill(self) -> None:
        self._serving.close()
