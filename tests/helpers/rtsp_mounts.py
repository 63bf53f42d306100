"""Real RTSP servers with cameras of any format, in one process. They show bars and a tone."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.helpers.rtsp import PACKAGES

SERVER = Path(__file__).with_name("rtsp_mounts_process.py")

H26X = "speed-preset=ultrafast tune=zerolatency key-int-max=10"
PICTURES = {
    "h264": f"x264enc {H26X} threads=1 ! rtph264pay config-interval=1 pt=96",
    "h265": f"x265enc {H26X} option-string=pools=none:frame-threads=1:log-level=none ! rtph265pay config-interval=1",
    # JPEG has full range, to which GStreamer converts only by way of RGB
    "jpeg": "videoconvert ! video/x-raw,format=RGB ! videoconvert ! video/x-raw,format=I420,colorimetry=1:4:0:0"
    " ! jpegenc ! rtpjpegpay",
}
SOUNDS = {
    "aac": "avenc_aac ! aacparse ! rtpmp4gpay pt=97",
    "g722": "avenc_g722 ! rtpg722pay",
    "latm": "avenc_aac ! aacparse ! rtpmp4apay pt=97",
    "opus": "opusenc ! rtpopuspay pt=97",
    "pcma": "audio/x-raw,rate=8000 ! alawenc ! rtppcmapay",
    "pcmu": "audio/x-raw,rate=8000 ! mulawenc ! rtppcmupay",
}
RTP_TIMES, RTP_NUMBERS = 2**32, 2**16
RTP_HZ = {"h264": 90_000, "pcmu": 8000}


def picture(codec: str, *, fps: int = 20, wraps_after_s: float | None = None) -> str:
    """Return the pipeline of bars. Their RTP times begin anew after `wraps_after_s`, and their packet numbers soon."""
    bars = f"video/x-raw,format=I420,width=320,height=240,framerate={fps}/1,colorimetry=bt601"
    payload = f"{PICTURES[codec]} name=pay0{_wrap(codec, wraps_after_s)}"
    return f"videotestsrc is-live=true pattern=smpte75 ! {bars} ! {payload}"


def sound(codec: str, *, number: int = 1, wraps_after_s: float | None = None) -> str:
    """Return the pipeline of the tone, which is the stream of this number."""
    tone = "audiotestsrc is-live=true freq=440 volume=0.5 samplesperbuffer=320 ! audio/x-raw,rate=16000,channels=1"
    return f"{tone} ! audioconvert ! audioresample ! {SOUNDS[codec]} name=pay{number}{_wrap(codec, wraps_after_s)}"


def _wrap(codec: str, after_s: float | None) -> str:
    if after_s is None:
        return ""
    return f" timestamp-offset={RTP_TIMES - round(after_s * RTP_HZ[codec])} seqnum-offset={RTP_NUMBERS - 30}"


@dataclass(frozen=True)
class RtspServer:
    """Pipelines by path, and the logins that digest authentication lets in. Without logins everybody may watch."""

    mounts: Mapping[str, str]
    address: str = "127.0.0.1"
    logins: Sequence[tuple[str, str]] = ()


@contextmanager
def rtsp_servers(*servers: RtspServer) -> Iterator[list[int]]:
    """Run the servers during the block; give their ports. Fails where GStreamer's server is missing."""
    command = ["/usr/bin/python3", SERVER, json.dumps([asdict(server) for server in servers])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stderr
        ports = process.stdout.readline()
        if not ports:
            process.kill()
            pytest.fail(f"no RTSP server; it needs the packages {PACKAGES}:\n{process.stderr.read()[-1000:]}")
        yield json.loads(ports)
    finally:
        process.kill()
        process.communicate()
