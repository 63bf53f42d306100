"""What an http URL gives, and the connection to the camera behind it: TLS, IPv6, proxies and deadlines."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.http.camera import HttpCamera
from daemon.sources.network.camera import NetworkCamera
from tests.helpers.camera_run import CameraRun
from tests.helpers.certificates import self_signed_context
from tests.helpers.clips import write_clip
from tests.helpers.jpegs import jpeg, part
from tests.helpers.processes import open_descriptors
from tests.helpers.raw_http import Always, BasicLogin, RawHttpServer, Request, content, head

LOGIN = "user:s3cret@"
STREAM = head("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=picture") + part(jpeg(50)) + part(jpeg(90))
STILL = content(jpeg(50), "image/jpeg")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an MPEG transport stream with picture and sound."""
    # several key frames
    return 3 * write_clip(tmp_path_factory.mktemp("clip") / "clip.ts").read_bytes()


@pytest.mark.parametrize("key", [("ed25519",), ("rsa:1024",)], ids=["modern", "short"])
def test_a_camera_with_a_certificate_of_its_own_is_used(key: tuple[str, ...], tmp_path: Path) -> None:
    camera = RawHttpServer(BasicLogin(STREAM), tls=self_signed_context(tmp_path, *key), keep_alive=True)
    with camera.serving() as server:
        redirect = head("301 Moved", f"Location: {server.url('/there')}", "Content-Length: 0")
        with RawHttpServer(Always(redirect)).serving() as plain:
            for url in (server.url("/", LOGIN), plain.url("/", LOGIN)):
                assert len(CameraRun(url).pictures(2).frames) == 2


@pytest.mark.parametrize("answer", [STREAM, STILL], ids=["stream", "still"])
def test_a_camera_with_an_ipv6_address_is_used(answer: bytes) -> None:
    with RawHttpServer(Always(answer), keep_alive=True, host="::1").serving() as server:
        assert len(CameraRun(server.url("/", LOGIN)).pictures(2).frames) == 2
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


@pytest.mark.parametrize(
    ("proxy", "no_proxy", "is_used"),
    [
        (None, None, False),
        ("http://127.0.0.1:1", None, True),
        ("http://127.0.0.1:1", "localhost,127.0.0.1", False),
        ("http://127.0.0.1:1", "*", False),
    ],
)
def test_only_where_the_environment_names_a_proxy_ffmpeg_reads_a_camera_through_it(
    proxy: str | None, no_proxy: str | None, is_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("http_proxy", proxy), ("no_proxy", no_proxy)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    with RawHttpServer(Always(STILL)).serving() as server:
        run = CameraRun(server.url("/", LOGIN))
        assert isinstance(run.source, NetworkCamera if is_used else HttpCamera)
        if is_used:
            with pytest.raises(SourceError, match="Connection refused"):
                run.pictures(1)
        else:
            assert len(run.pictures(1).frames) == 1


@pytest.mark.parametrize("content_type", ["video/mp2t", "application/octet-stream", "text/plain"])
def test_other_streams_are_read_by_ffmpeg_once_the_first_connection_is_closed(content_type: str, clip: bytes) -> None:
    response = head("200 OK", f"Content-Type: {content_type}") + clip
    with RawHttpServer(Always(response, 10.0), is_single=True).serving() as server:
        run = CameraRun(server.url("/video"), sound=True).run(lambda run: len(run.frames) > 5 and bool(run.blocks))
    assert run.frames[0].size == (64, 48)
    assert len(server.requests) == 2


def test_an_answer_that_is_not_quite_http_is_left_to_ffmpeg(clip: bytes) -> None:
    with RawHttpServer(Always(b"ICY 200 OK\r\n\r\n" + clip, 10.0), is_single=True).serving() as server:
        assert len(CameraRun(server.url()).pictures(5).frames) == 5


@dataclass
class Recorded:
    """A source that only records that it ran."""

    drift_ppm: float | None = 7.0
    runs: int = 0

    def run(self, deliver: object, stop: object) -> None:
        self.runs += 1


@pytest.mark.parametrize(
    ("path", "content_type", "body", "is_playlist"),
    [
        ("/live", "application/vnd.apple.mpegurl", b"", True),
        ("/live", "Application/x-mpegURL; charset=utf-8", b"#EXTM3U\n", True),
        ("/live", "text/plain", b"\xef\xbb\xbf#EXTM3U\n#EXT-X-VERSION:3\n", True),
        ("/live.m3u8?token=1", "application/octet-stream", b"", True),
        ("/live.m3u8", "text/html", b"<html>sign in</html>", False),
        ("/live", "text/html", b"<html>sign in</html>", False),
        ("/live", "video/mp4", b"\0\0\0\x18ftypmp42", False),
    ],
)
def test_playlists_go_to_the_source_that_plays_them(
    path: str, content_type: str, body: bytes, is_playlist: bool
) -> None:
    playlist, other = Recorded(), Recorded()
    with RawHttpServer(Always(content(body, content_type))).serving() as server:
        camera = HttpCamera(server.url(path), {}, None, False, None, 2.5, playlist, other)
        camera.run(lambda item: None, threading.Event())
    assert (playlist.runs, other.runs) == (int(is_playlist), int(not is_playlist))
    assert camera.drift_ppm == 7.0


def test_a_handshake_that_never_ends_is_an_error() -> None:
    message = r"cannot be opened: no answer in time: waited 2\.5 s"
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(SourceError, match=message):
        CameraRun(f"https://127.0.0.1:{mute.getsockname()[1]}/").pictures(1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_camera_that_accepts_and_says_nothing_can_be_stopped(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        run = CameraRun(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/", stall_after_s=3600)
        thread = threading.Thread(target=run.pictures, args=(1,))
        thread.start()
        with mute.accept()[0]:
            began_ns = monotonic_ns()
            run.stop.set()
            thread.join(60)
        assert monotonic_ns() - began_ns < 2 * NS_PER_S


class Trickle:
    """Sends a head that never ends."""

    def __call__(self, request: Request) -> Iterator[bytes | float]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X: y\r\n"
            yield 0.05


def test_a_head_that_never_ends_does_not_keep_the_camera_from_stopping() -> None:
    with RawHttpServer(Trickle()).serving() as server:
        run = CameraRun(server.url())
        thread = threading.Thread(target=run.pictures, args=(1,))
        thread.start()
        while server.sent < 100:
            thread.join(0.01)
        run.stop.set()
        thread.join(60)
        assert not thread.is_alive()


def test_a_port_that_is_closed_is_told() -> None:
    with pytest.raises(SourceError, match=r"^http://localhost:1: cannot be opened: Connection refused$"):
        CameraRun("http://viewer:s3cret@localhost:1/s3cret").pictures(1)
    message = r"^https://127\.0\.0\.1:\d+: cannot be opened: \[SSL"
    plain = RawHttpServer(Always(STILL))
    with plain.serving() as server, pytest.raises(SourceError, match=message):
        CameraRun(f"https://viewer:s3cret@127.0.0.1:{server.port}/s3cret").pictures(1)


def test_no_ending_of_a_camera_leaves_a_descriptor(tmp_path: Path) -> None:
    refusals = [head("401 No"), head("302 No", "Location: /"), b"", b"?\r\n", head("200 OK")]
    before, threads = open_descriptors(), threading.active_count()
    for tls in (None, self_signed_context(tmp_path, "ed25519")):
        for answer in (STREAM, STILL, STREAM[:300], *refusals):
            with RawHttpServer(Always(answer), tls=tls).serving() as server:
                run = CameraRun(server.url("/", LOGIN))
                with contextlib.suppress(SourceError):
                    run.pictures(1)
    deadline_ns = monotonic_ns() + 10 * NS_PER_S
    while threading.active_count() > threads and monotonic_ns() < deadline_ns:
        time.sleep(0.01)  # the server's threads close its own ends
    assert len(open_descriptors()) <= len(before)
