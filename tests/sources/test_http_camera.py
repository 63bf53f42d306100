"""What an http URL is, and how the camera behind it is reached: login, redirects, TLS, IPv6 and deadlines."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.http_camera import HttpCamera
from daemon.sources.network import NetworkCamera
from tests.helpers.camera_run import CameraRun
from tests.helpers.clips import write_clip
from tests.helpers.jpegs import jpeg, part
from tests.helpers.raw_http import DigestLogin, RawHttpServer, Request, content, head

# every character that a URL or a login gives a meaning
PASSWORD = 'p:@/?#%ä "\\,='
LOGIN = "us%2Cer:p%3A%40%2F%3F%23%25%C3%A4%20%22%5C%2C%3D@"
STREAM = head("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=picture") + part(jpeg(50)) + part(jpeg(90))
STILL = content(jpeg(50), "image/jpeg")
UNAUTHORIZED = head("401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"', "Content-Length: 0")


@dataclass
class Guarded:
    """Sends `response` to who gives the right digest."""

    login: DigestLogin
    response: bytes

    def __call__(self, request: Request) -> Iterator[bytes | float]:
        refusal = self.login.refusal(request)
        if refusal:
            yield refusal
        else:
            yield self.response
            if self.response != STILL:
                yield 10.0


@dataclass
class Paths:
    """Sends the response of each path, and 404 for others."""

    responses: dict[str, bytes]

    def __call__(self, request: Request) -> Iterable[bytes | float]:
        return [self.responses.get(request.target, head("404 Not Found", "Content-Length: 0"))]


@dataclass
class Basic:
    """Sends `response` to who gives a login."""

    response: bytes

    def __call__(self, request: Request) -> Iterable[bytes | float]:
        return [self.response if "authorization" in request.headers else UNAUTHORIZED]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an MPEG transport stream with picture and sound."""
    # several key frames
    return 3 * write_clip(tmp_path_factory.mktemp("clip") / "clip.ts").read_bytes()


def self_signed(directory: Path, *key: str) -> ssl.SSLContext:
    """Return the context of a server that made its own certificate, for another name, long ago."""
    names = ("-keyout", directory / "key", "-out", directory / "crt")
    command = ("openssl", "req", "-x509", "-newkey", *key, "-noenc", "-days", "1", "-subj", "/CN=camera", *names)
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(directory / "crt", directory / "key")
    return context


SHA_256 = 'Digest realm="camera", qop="auth,auth-int", algorithm=SHA-256'
DIGESTS = {
    "md5": DigestLogin("us,er", PASSWORD),
    "md5 without qop": DigestLogin("us,er", PASSWORD, 'Digest realm="camera"'),
    "sha-256": DigestLogin("us,er", PASSWORD, SHA_256, "sha256"),
}


@pytest.mark.parametrize("kind", DIGESTS)
@pytest.mark.parametrize("response", [STREAM, STILL], ids=["stream", "still"])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_hard_password_passes_a_digest_login(kind: str, response: bytes, keep_alive: bool) -> None:
    camera = Guarded(DIGESTS[kind], response)
    with RawHttpServer(camera, keep_alive=keep_alive, is_single=True).serving() as server:
        fps = None if response == STREAM else 20
        run = CameraRun(server.url("/a/b.cgi?x=1&y=%20z", LOGIN), fps=fps).pictures(2)
    assert len(run.frames) == 2
    assert len(server.requests) == (2 if response == STREAM else 3), "the login is asked for once only"
    assert "authorization" not in server.requests[0].headers, "no password goes out unasked"


def test_a_digest_that_has_grown_old_is_made_anew() -> None:
    camera = Guarded(DigestLogin("us,er", PASSWORD, uses=2), STILL)
    with RawHttpServer(camera, keep_alive=True).serving() as server:
        assert len(CameraRun(server.url("/", LOGIN), fps=20).pictures(6).frames) == 6
    assert server.connections == 1


@pytest.mark.parametrize("more", ["", ', qop="auth", algorithm=MD5'], ids=["without qop", "qop"])
def test_a_stream_for_ffmpeg_passes_the_login_twice(more: str, clip: bytes) -> None:
    """FFmpeg's own digest passes the helper's check too, so the helper asks for what the RFC says."""
    login = DigestLogin("us,er", PASSWORD, f'Digest realm="camera"{more}')
    response = head("200 OK", "Content-Type: video/mp2t") + clip
    with RawHttpServer(Guarded(login, response), is_single=True).serving() as server:
        run = CameraRun(server.url("/", LOGIN), sound=True).run(lambda run: len(run.frames) > 5 and bool(run.blocks))
    assert run.frames[0].size == (64, 48)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (UNAUTHORIZED, "refused the login: check user and password in camera.device"),
        (head("401 No"), "refused the login: check user and password in camera.device"),
        (head("403 No"), "refused access for this user: check user and password in camera.device"),
        (head("404 No"), "has no such path: check the path in camera.device"),
        (head("500 No"), "cannot be opened: the camera answers with status 500"),
        (head("302 Moved", "Location: /s3cret"), "cannot be opened: redirects more than 8 times"),
        (
            head("302 Moved", "Location: rtsp://s3cret/"),
            "cannot be opened: redirects to something else than http or https",
        ),
        (b"", "cannot be opened: the connection was closed without an answer"),
    ],
)
def test_a_refusal_is_told_without_the_password(response: bytes, message: str) -> None:
    with RawHttpServer(lambda request: [response]).serving() as server:
        with pytest.raises(SourceError) as error:
            CameraRun(server.url("/video?pwd=s3cret", "viewer:s3cret@")).pictures(1)
        assert str(error.value) == f"http://127.0.0.1:{server.port}: {message}"
    assert error.value.__cause__ is None
    assert len(server.requests) <= 8


def test_a_wrong_password_is_sent_once_for_each_opening() -> None:
    """Cameras lock out a user after a few wrong passwords."""
    camera = RawHttpServer(Guarded(DigestLogin("user", "right"), STILL), keep_alive=True)
    with camera.serving() as server, pytest.raises(SourceError, match="refused the login"):
        CameraRun(server.url("/", "user:wrong@")).pictures(1)
    assert ["authorization" in request.headers for request in server.requests] == [False, True]


@pytest.mark.parametrize("location", ["/there", "there", "http://{host}/there", "//{host}/there"])
def test_redirects_are_followed_with_the_login(location: str) -> None:
    @dataclass
    class Redirecting:
        def __call__(self, request: Request) -> Iterable[bytes | float]:
            if request.target == "/there":
                return Basic(STILL)(request)
            host = request.headers["host"]
            return [head("302 Found", f"Location: {location.format(host=host)}", "Content-Length: 0")]

    with RawHttpServer(Redirecting(), keep_alive=True, is_single=True).serving() as server:
        run = CameraRun(server.url("/here", LOGIN), fps=20).pictures(2)
    assert len(run.frames) == 2
    assert [request.target for request in server.requests] == ["/here", "/there", "/there", "/here", "/there"]


def test_another_host_does_not_get_the_login() -> None:
    with RawHttpServer(Basic(STILL), host="::1").serving() as other:
        redirect = head("301 Moved", f"Location: {other.url('/there')}", "Content-Length: 0")
        camera = RawHttpServer(Paths({"/": redirect}))
        with camera.serving() as server, pytest.raises(SourceError, match="refused the login"):
            CameraRun(server.url("/", LOGIN)).pictures(1)
    assert ["authorization" in request.headers for request in other.requests] == [False]


@pytest.mark.parametrize("key", [("ed25519",), ("rsa:1024",)], ids=["modern", "short"])
def test_a_camera_with_a_certificate_of_its_own_is_used(key: tuple[str, ...], tmp_path: Path) -> None:
    camera = RawHttpServer(Basic(STREAM), tls=self_signed(tmp_path, *key), keep_alive=True)
    with camera.serving() as server:
        redirect = head("301 Moved", f"Location: {server.url('/there')}", "Content-Length: 0")
        with RawHttpServer(Paths({"/": redirect})).serving() as plain:
            for url in (server.url("/", LOGIN), plain.url("/", LOGIN)):
                assert len(CameraRun(url).pictures(2).frames) == 2


@pytest.mark.parametrize("answer", [STREAM, STILL], ids=["stream", "still"])
def test_a_camera_with_an_ipv6_address_is_used(answer: bytes) -> None:
    with RawHttpServer(lambda request: [answer], keep_alive=True, host="::1").serving() as server:
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
    with RawHttpServer(lambda request: [STILL]).serving() as server:
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
    with RawHttpServer(lambda request: [response, 10.0], is_single=True).serving() as server:
        run = CameraRun(server.url("/video"), sound=True).run(lambda run: len(run.frames) > 5 and bool(run.blocks))
    assert run.frames[0].size == (64, 48)
    assert len(server.requests) == 2


def test_an_answer_that_is_not_quite_http_is_left_to_ffmpeg(clip: bytes) -> None:
    with RawHttpServer(lambda request: [b"ICY 200 OK\r\n\r\n" + clip, 10.0], is_single=True).serving() as server:
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
    with RawHttpServer(lambda request: [content(body, content_type)]).serving() as server:
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
            thread.join(5)
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
        thread.join(5)
        assert not thread.is_alive()


def test_a_port_that_is_closed_is_told() -> None:
    with pytest.raises(SourceError, match=r"^http://localhost:1: cannot be opened: Connection refused$"):
        CameraRun("http://viewer:s3cret@localhost:1/s3cret").pictures(1)
    message = r"^https://127\.0\.0\.1:\d+: cannot be opened: \[SSL"
    plain = RawHttpServer(lambda request: [STILL])
    with plain.serving() as server, pytest.raises(SourceError, match=message):
        CameraRun(f"https://viewer:s3cret@127.0.0.1:{server.port}/s3cret").pictures(1)
