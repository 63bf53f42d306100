"""The login at cameras over HTTP, and redirects, against real servers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.core.errors import SourceError
from tests.helpers.camera_run import CameraRun
from tests.helpers.clips import write_clip
from tests.helpers.jpegs import jpeg, part
from tests.helpers.raw_http import UNAUTHORIZED, Always, BasicLogin, DigestLogin, RawHttpServer, Request, content, head

# every character that a URL or a login gives a meaning
PASSWORD = 'p:@/?#%ä "\\,='
LOGIN = "us%2Cer:p%3A%40%2F%3F%23%25%C3%A4%20%22%5C%2C%3D@"
STREAM = head("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=picture") + part(jpeg(50)) + part(jpeg(90))
STILL = content(jpeg(50), "image/jpeg")


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
    camera = Guarded(replace(DIGESTS[kind]), response)
    with RawHttpServer(camera, keep_alive=keep_alive, is_single=True).serving() as server:
        fps = None if response == STREAM else 20
        run = CameraRun(server.url("/a/b.cgi?x=1&y=%20z", LOGIN), fps=fps).pictures(2)
    assert len(run.frames) >= 2
    assert len(server.requests) == (2 if response == STREAM else 3), "the login is asked for once only"
    assert "authorization" not in server.requests[0].headers, "no password goes out unasked"


def test_a_digest_that_has_grown_old_is_made_anew() -> None:
    camera = Guarded(DigestLogin("us,er", PASSWORD, uses=2), STILL)
    with RawHttpServer(camera, keep_alive=True).serving() as server:
        assert len(CameraRun(server.url("/", LOGIN), fps=20).pictures(6).frames) == 6
    assert server.connections == 1


@pytest.mark.parametrize("more", ["", ', qop="auth", algorithm=MD5'], ids=["without qop", "qop"])
def test_a_stream_for_ffmpeg_passes_the_login_twice(more: str, tmp_path: Path) -> None:
    """FFmpeg's own digest passes the helper's check too, so the helper asks for what the RFC says."""
    login = DigestLogin("us,er", PASSWORD, f'Digest realm="camera"{more}')
    clip = write_clip(tmp_path / "clip.ts").read_bytes()
    response = head("200 OK", "Content-Type: video/mp2t") + 3 * clip  # several key frames
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
    with RawHttpServer(Always(response)).serving() as server:
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
                return BasicLogin(STILL)(request)
            host = request.headers["host"]
            return [head("302 Found", f"Location: {location.format(host=host)}", "Content-Length: 0")]

    with RawHttpServer(Redirecting(), keep_alive=True, is_single=True).serving() as server:
        run = CameraRun(server.url("/here", LOGIN), fps=20).pictures(2)
    assert len(run.frames) >= 2
    assert [request.target for request in server.requests] == ["/here", "/there", "/there", "/here", "/there"]


def test_another_host_does_not_get_the_login() -> None:
    with RawHttpServer(BasicLogin(STILL), host="::1").serving() as other:
        redirect = head("301 Moved", f"Location: {other.url('/there')}", "Content-Length: 0")
        camera = RawHttpServer(Always(redirect))
        with camera.serving() as server, pytest.raises(SourceError, match="refused the login"):
            CameraRun(server.url("/", LOGIN)).pictures(1)
    assert ["authorization" in request.headers for request in other.requests] == [False]
