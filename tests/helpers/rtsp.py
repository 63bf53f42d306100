"""A real RTSP camera with H.264 and sound, in its own process."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("rtsp_server_process.py")
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav"
)


@dataclass(frozen=True)
class RtspCamera:
    port: int
    process: "subprocess.Popen[str]"

    def url(self, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/camera"


@contextmanager
def rtsp_camera(audio: str = "aac", *login: str, clip: Path | None = None, udp: bool = False) -> Iterator[RtspCamera]:
    """Run a camera during the block. It shows a ball and a tone, or once a clip of H.264 and PCM in Matroska.

    With `udp` it refuses TCP for them.
    Fails and names the Debian packages where GStreamer's server is missing.
    """
    options = [*(("--login", *login) if login else ()), *(("--clip", str(clip)) if clip else ())]
    options += ["--udp"] if udp else []
    process = subprocess.Popen(
        ["/usr/bin/python3", SERVER, audio, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stderr
        port = process.stdout.readline().strip()
        if not port:
            process.kill()
            pytest.fail(f"no RTSP server; it needs the packages {PACKAGES}:\n{process.stderr.read()[-1000:]}")
        yield RtspCamera(int(port), process)
    finally:
        process.kill()
        process.communicate()
