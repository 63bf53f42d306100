"""A server of HLS on a free loopback port, whose segments appear over time."""

import http.server
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from daemon.core.records import Frame
from tests.helpers.logins import digest_of, is_right_digest
from tests.helpers.serving import serving

FPS = 20
RATE_HZ = 44_100
SIZE = (80, 48)
BITS = 10
TONE_HZ = 440


@dataclass(frozen=True)
class Content:
    """Segments of equal length, with a header where they are fragmented MP4. Each picture shows its number."""

    segments: tuple[bytes, ...]
    segment_s: float
    header: bytes | None = None


@cache
def content(kind: str = "mpegts", *, segments: int = 12, segment_s: float = 0.25, first: int = 0) -> Content:
    """Encode segments of `kind` (mpegts or fmp4). The pictures are numbered from `first`. The sound is a tone."""
    suffix = "ts" if kind == "mpegts" else "m4s"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        options = {
            "hls_time": str(segment_s),
            "hls_list_size": "0",
            "hls_segment_type": kind,
            "hls_segment_filename": str(directory / f"%d.{suffix}"),
        }
        _write(directory / "list.m3u8", options, segments * segment_s, segment_s, first)
        parts = tuple((directory / f"{number}.{suffix}").read_bytes() for number in range(segments))
        header = (directory / "init.mp4").read_bytes() if kind == "fmp4" else None
    return Content(parts, segment_s, header)


def _write(path: Path, options: dict[str, str], seconds: float, segment_s: float, first: int) -> None:
    with av.open(str(path), "w", format="hls", options=options) as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        distance = str(round(FPS * segment_s))
        video.options = {"preset": "ultrafast", "bf": "2", "g": distance, "keyint_min": distance, "sc_threshold": "0"}
        audio = container.add_stream("aac", rate=RATE_HZ)
        audio.layout = "mono"
        tone = (8000 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.int16)
        begun = 0
        for number in range(round(seconds * FPS)):
            picture = av.VideoFrame.from_ndarray(numbered(first + number), format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(picture))
            while begun < len(tone) and begun / RATE_HZ < (number + 1) / FPS:
                sound = av.AudioFrame.from_ndarray(tone[None, begun : begun + 1024], format="s16", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, begun, Fraction(1, RATE_HZ)
                container.mux(audio.encode(sound))
                begun += 1024
        container.mux(video.encode())
        container.mux(audio.encode())


def numbered(number: int) -> np.ndarray:
    """Return a picture that shows the bits of the number, as black and white columns."""
    columns = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(columns, np.uint8), SIZE[0] // BITS)
    return np.broadcast_to(row[None, :, None], (SIZE[1], SIZE[0], 3)).copy()


def number_of(frame: Frame) -> int:
    """Return the number that a picture shows."""
    row = frame.planes[0].mean(axis=0).reshape(BITS, -1).mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if row[bit] > 128)


@dataclass
class Fault:
    """What goes wrong: a status for playlists, for segments, or segments that end in their middle."""

    playlist: int = 200
    segments: int = 200
    cuts_segments: bool = False


@dataclass
class HlsServer:
    """Serves `/live.m3u8` with the latest `window` segments of a content, and `/vod.m3u8` with all of them.

    A segment of `/live.m3u8` appears when it ends. `ahead` of them are there from the beginning.
    `files` are answers for other paths. With them, and for `/vod.m3u8`, all segments are there.
    `began_s` is the time of the first picture. `login` is a user and a password for Digest.
    """

    content: Content
    window: int = 3
    ahead: int = 2
    dated: bool = False
    login: tuple[str, str] | None = None
    files: dict[str, str | bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    fault: Fault = field(default_factory=Fault)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.began_s = 0.0
        self._is_whole = False
        self.closing = threading.Event()
        self.restart(self.content)

    def restart(self, new: Content, *, ahead: int | None = None) -> None:
        """Begin anew with the number 0."""
        self.content = new
        self.began_s = time.monotonic() - (self.ahead if ahead is None else ahead) * new.segment_s

    @property
    def _available(self) -> int:
        return len(self.content.segments) if self._is_whole or self.files else self.appeared

    @property
    def appeared(self) -> int:
        """Return how many segments have appeared."""
        return min(len(self.content.segments), int((time.monotonic() - self.began_s) / self.content.segment_s))

    def playlist(self, *, whole: bool) -> str:
        """Return the media playlist of this moment, or of all segments."""
        count = len(self.content.segments) if whole else self.appeared
        first = 0 if whole else max(0, count - self.window)
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        if self.content.header:
            lines.append('#EXT-X-MAP:URI="init.mp4"')
        for number in range(first, count):
            if self.dated:
                lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{self._date(number)}")
            lines += [f"#EXTINF:{self.content.segment_s},", f"seg{number}.ts?token=s3cret"]
        return "\n".join(lines + ["#EXT-X-ENDLIST"] * whole)

    def _date(self, number: int) -> str:
        at_s = 1_700_000_000 + self.began_s + number * self.content.segment_s
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f"{at_s % 1:.3f}Z"[1:]

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return status and body for a path."""
        path = path.partition("?")[0].lstrip("/")
        segment = re.fullmatch(r"seg(\d+)\.ts", path)
        if path in self.files:
            body = self.files[path]
            return 200, body.encode() if isinstance(body, str) else body
        if path == "vod.m3u8":
            self._is_whole = True
        if path in ("live.m3u8", "vod.m3u8"):
            return self.fault.playlist, self.playlist(whole=path == "vod.m3u8").encode()
        if path == "init.mp4" and self.content.header:
            return self.fault.segments, self.content.header
        if segment and int(segment[1]) < self._available:
            return self.fault.segments, self.content.segments[int(segment[1])]
        return 404, b""

    @contextmanager
    def serving(self) -> Iterator["HlsServer"]:
        """Serve until the block ends."""
        with serving(self._server):
            try:
                yield self
            finally:
                self.closing.set()


def _handler(server: HlsServer) -> type[http.server.BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"hls": server})


class _Handler(http.server.BaseHTTPRequestHandler):
    hls: HlsServer

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self.hls.requests.append(self.path)
        self.hls.authorizations.append(self.headers.get("Authorization"))
        if self.path == "/endless":
            self._send_for_ever()
        elif self.path in self.hls.redirects:
            self.send_response(302)
            self.send_header("Location", self.hls.redirects[self.path])
            self.end_headers()
        elif self.hls.login and not self._knows(self.hls.login):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Digest realm="hls", nonce="n0nce", qop="auth"')
            self.end_headers()
        else:
            self._send(*self.hls.answer(self.path))

    def _send(self, status: int, body: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and status == 200:
            status, body = 206, body[int(wanted[1]) : int(wanted[2]) + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206 and wanted:
            self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/*")
        self.end_headers()
        if self.hls.fault.cuts_segments and "seg" in self.path:
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def _knows(self, login: tuple[str, str]) -> bool:
        digest = digest_of(self.headers.get("Authorization", ""))
        return is_right_digest(digest, self.command, self.path, login, challenge={"realm": "hls", "nonce": "n0nce"})

    def _send_for_ever(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(b"#EXTM3U\n")
            while not self.hls.closing.is_set():
                self.wfile.write(b"#EXTINF:1,\na.ts\n" * 1000)
        except OSError:
            return  # the client has gone
