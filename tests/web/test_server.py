"""What the page answers, by path, before a daemon with canned answers."""

import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.history.playback import ClipJobs
from daemon.runtime.child_main import Failed
from daemon.web.page import build
from tests.fakes.local_daemon import DESCRIPTION
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import wait_until
from tests.helpers.page import NO_JOBS, PageUnderTest, serving_page

JPEG = b"\xff\xd8 a picture \xff\xd9"
CLIP = bytes(range(256)) * 8
SHOWN = {"event": {"id": "e1", "clip": {"video": "h264"}}}


def shout(clip: str, target: str) -> None:
    """In a child process: write the clip in upper case."""
    os.pwrite(int(target), os.pread(int(clip), 1 << 20, 0).upper(), 0)


def refuse(_clip: str, _target: str) -> None:
    """In a child process: fail."""
    raise Failed("the clip is damaged: there is no moov atom")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageUnderTest]:
    with serving_page(tmp_path_factory.mktemp("page"), jobs=ClipJobs(shout, refuse)) as running:
        running.daemon.told |= {
            "topics": ({"topics": {"status": {}}}, None),
            "history_days": ({"days": []}, None),
            "history_list": ({"events": [], "more": False}, None),
            "history_show": (SHOWN, None),
            "history_file": ({"media_type": "video/mp4", "bytes": len(CLIP)}, CLIP),
            "history_keep": ({}, None),
            "history_delete": ({}, None),
            "judge": ({"text": "noted"}, None),
            "log": ({"lines": []}, None),
            "reload": ({}, None),
            "doctor": ({"report": {"findings": []}}, None),
            "command": ({"answer": {"ok": False, "reason": "no such stream"}}, None),
            "picture": ({"sequence": 7, "time": "2026-01-01T00:00:00Z"}, JPEG),
            "example_file": ({"media_type": "image/jpeg"}, JPEG),
        }
        yield running


@pytest.fixture(scope="module")
def owner(page: PageUnderTest) -> str:
    return page.session()


@pytest.mark.parametrize(
    ("method", "path", "content", "asked", "answer"),
    [
        (
            "GET",
            "/api/describe",
            None,
            {"do": "describe"},
            {key: DESCRIPTION[key] for key in DESCRIPTION if key != "page"},
        ),
        ("GET", "/api/topics", None, {"do": "topics"}, {"topics": {"status": {}}}),
        ("GET", "/api/days", None, {"do": "history_days"}, {"days": []}),
        (
            "GET",
            "/api/events?day=2026-01-01&stream=d%C3%BCr&label=a+b&before=5&limit=10&other=1",
            None,
            {"do": "history_list", "day": "2026-01-01", "stream": "dür", "label": "a b", "before": 5, "limit": 10},
            {"events": [], "more": False},
        ),
        ("GET", "/api/events/e1", None, {"do": "history_show", "event": "e1"}, SHOWN),
        ("GET", "/api/log?after=12", None, {"do": "log", "after": 12}, {"lines": []}),
        (
            "POST",
            "/api/events/e1/judge",
            {"answer": "was", "label": "dog"},
            {"do": "judge", "event": "e1", "answer": "was", "label": "dog"},
            {"text": "noted"},
        ),
        ("POST", "/api/events/e1/keep", {"on": False}, {"do": "history_keep", "event": "e1", "on": False}, {}),
        ("POST", "/api/events/e1/delete", {}, {"do": "history_delete", "event": "e1"}, {}),
        (
            "POST",
            "/api/command/teach",
            {"label": "kettle"},
            {"do": "command", "name": "teach", "arguments": {"label": "kettle"}},
            {"ok": False, "reason": "no such stream"},
        ),
        ("POST", "/api/reload", {}, {"do": "reload"}, {}),
        ("POST", "/api/doctor", None, {"do": "doctor"}, {"report": {"findings": []}}),
    ],
)
def test_what_the_daemon_answers_comes_as_json(
    page: PageUnderTest, owner: str, method: str, path: str, content: object, asked: object, answer: object
) -> None:
    reply = page.ask(method, path, content, cookie=owner)
    assert (reply.status, reply.json) == (200, answer)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert page.daemon.asked[-1] == asked


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/api/none", None, 404),
        ("GET", "/api/events/a%2Fb", None, 404),
        ("GET", "/api/reload", None, 405),
        ("POST", "/api/days", {}, 405),
        ("POST", "/api/command/Teach", {}, 404),
        ("POST", "/api/command/teach", [], 400),
        ("POST", "/api/command/teach", b"{", 400),
        ("POST", "/api/command/teach", b"[" * 10_000, 400),
        ("GET", "/api/log?after=-1", None, 400),
        ("GET", "/api/log?after=%D9%A1", None, 400),
        ("GET", "/api/events?" + "&".join(f"a{n}=1" for n in range(50)), None, 400),
        ("PUT", "/api/reload", None, 405),
        ("GET", "/static/none.js", None, 404),
    ],
)
def test_what_is_not_answered_is_refused_with_a_reason(
    page: PageUnderTest, owner: str, method: str, path: str, content: object, status: int
) -> None:
    reply = page.ask(method, path, content, cookie=owner)
    assert reply.status == status
    assert reply.reason
    assert "content-security-policy" in reply.headers


def test_a_body_of_another_type_is_refused(page: PageUnderTest, owner: str) -> None:
    reply = page.ask("POST", "/api/reload", {}, {"Content-Type": "text/plain"}, cookie=owner)
    assert (reply.status, reply.reason) == (400, "expected a body of the type application/json")


def test_what_the_daemon_refuses_has_its_reason(page: PageUnderTest, owner: str) -> None:
    for path, do, status in (
        ("/api/events/e2", "history_show", 404),
        ("/api/events/e2/snapshot.jpg", "history_file", 404),
        ("/api/picture/door", "picture", 409),
    ):
        before = page.daemon.told[do]
        page.daemon.told[do] = ("there is none", None)
        reply = page.ask("GET", path, cookie=owner)
        page.daemon.told[do] = before
        assert (reply.status, reply.json) == (status, {"reason": "there is none"})


def test_a_picture_has_its_number_and_time(page: PageUnderTest, owner: str) -> None:
    reply = page.ask("GET", "/api/picture/d%C3%BCr?after=6&width=640", cookie=owner)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert (reply.headers["x-sequence"], reply.headers["x-time"]) == ("7", "2026-01-01T00:00:00Z")
    assert reply.headers["cache-control"] == "no-store"
    assert page.daemon.asked[-1] == {"do": "picture", "stream": "dür", "after": 6, "width": 640}


def test_without_a_newer_picture_there_is_no_content(page: PageUnderTest, owner: str) -> None:
    before = page.daemon.told["picture"]
    page.daemon.told["picture"] = ({"sequence": 7}, None)
    reply = page.ask("GET", "/api/picture/door?after=7", cookie=owner)
    page.daemon.told["picture"] = before
    assert (reply.status, reply.body) == (204, b"")


def test_a_clip_is_sent_in_ranges_and_as_a_download(page: PageUnderTest, owner: str) -> None:
    whole = page.ask("GET", "/api/events/e1/clip.mp4", cookie=owner)
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, CLIP, "bytes")
    assert "content-disposition" not in whole.headers
    part = page.ask("GET", "/api/events/e1/play.mp4", headers={"Range": "bytes=100-199"}, cookie=owner)
    assert (part.status, part.body, part.headers["content-range"]) == (206, CLIP[100:200], "bytes 100-199/2048")
    beyond = page.ask("GET", "/api/events/e1/clip.mp4", headers={"Range": "bytes=5000-"}, cookie=owner)
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */2048")
    saved = page.ask("GET", "/api/events/e1/clip.mp4?download=1", cookie=owner)
    assert saved.headers["content-disposition"] == 'attachment; filename="perceptd-e1.mp4"'
    head = page.ask("HEAD", "/api/events/e1/clip.mp4", cookie=owner)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2048")


def test_a_type_that_is_not_to_be_shown_is_not_shown(page: PageUnderTest, owner: str) -> None:
    before = page.daemon.told["example_file"]
    page.daemon.told["example_file"] = ({"media_type": "text/html"}, b"<script>alert(1)</script>")
    reply = page.ask("GET", "/api/examples/x/picture.jpg", cookie=owner)
    page.daemon.told["example_file"] = before
    assert (reply.headers["content-type"], reply.headers["x-content-type-options"]) == (
        "application/octet-stream",
        "nosniff",
    )
    assert page.ask("GET", "/api/examples/x/sound.wav", cookie=owner).headers["content-type"] == "image/jpeg"


def test_what_no_browser_plays_is_made_once_in_a_child_process(page: PageUnderTest, owner: str) -> None:
    before = page.daemon.told["history_show"], page.daemon.told["history_file"]
    page.daemon.told["history_show"] = ({"event": {"id": "e3", "clip": {"video": "hevc"}}}, None)
    page.daemon.told["history_file"] = ({"media_type": "video/mp4"}, b"some pictures")

    def film(path: str = "/api/events/e3/play.mp4") -> tuple[int, bytes]:
        reply = page.ask("GET", path, cookie=owner)
        assert (reply.status == 202) is ("retry-after" in reply.headers)
        return reply.status, reply.body

    wait_until(lambda: film()[0] != 202, "the film is made")
    assert film() == (200, b"SOME PICTURES")
    ranged = page.ask("GET", "/api/events/e3/play.mp4", headers={"Range": "bytes=5-7"}, cookie=owner)
    assert (ranged.status, ranged.body) == (206, b"PIC")
    wait_until(lambda: film("/api/events/e3/spectrogram.png")[0] != 202, "the spectrogram is tried")
    status, body = film("/api/events/e3/spectrogram.png")
    assert status == 409
    assert json.loads(body)["reason"] == "it cannot be made: the clip is damaged: there is no moov atom"
    # a clip that is gone has no film either
    page.daemon.told["history_file"] = ("the event is not kept any more", None)
    assert film()[0] == 404
    page.daemon.told["history_show"], page.daemon.told["history_file"] = before


def test_followers_hear_what_the_daemon_tells_at_once(page: PageUnderTest, owner: str) -> None:
    page.daemon.messages = [{"kind": "topic", "topic": "status", "payload": {"state": "äö\n\n"}}]
    with page.connect() as connected:
        connected.sendall(
            f"GET /api/follow HTTP/1.1\r\nHost: localhost\r\nCookie: perceptd_80={owner}\r\n\r\n".encode()
        )
        heard = b""
        while b"topic" not in heard:
            heard += connected.recv(65536)
    head, _, told = heard.partition(b"\r\n\r\n")
    assert b"Content-Type: text/event-stream" in head
    assert b'data: {"kind":"topic","topic":"status","payload":{"state":"\xc3\xa4\xc3\xb6\\n\\n"}}\n\n' in told


def test_the_files_of_the_page_are_served_without_a_login_and_asked_for_again(page: PageUnderTest) -> None:
    reply = page.ask("GET", "/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert page.ask("GET", "/static/index.html").body == reply.body
    tag = reply.headers["etag"]
    assert page.ask("GET", "/", headers={"If-None-Match": tag}).status == 304


def test_a_daemon_that_is_down_is_told(tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        owner = page.session()
        page.daemon.path.rename(tmp_path / "away")
        reply = page.ask("GET", "/api/describe", cookie=owner)
        assert reply.status == 503
        assert "the daemon does not answer" in reply.reason
        with page.connect() as connected:
            connected.sendall(
                f"GET /api/follow HTTP/1.1\r\nHost: localhost\r\nCookie: perceptd_80={owner}\r\n\r\n".encode()
            )
            heard = b""
            while b"event: down" not in heard:
                heard += connected.recv(65536)
            (tmp_path / "away").rename(page.daemon.path)
            while b'"kind":"alive"' not in heard:
                heard += connected.recv(65536)


def test_a_page_that_nobody_uses_ends_and_not_while_somebody_follows(tmp_path: Path) -> None:
    with serving_page(tmp_path, idle_exit_s=0.2) as page:
        owner = page.session()
        with page.connect() as connected:
            connected.sendall(
                f"GET /api/follow HTTP/1.1\r\nHost: localhost\r\nCookie: perceptd_80={owner}\r\n\r\n".encode()
            )
            alive = 0
            while alive < 5:  # one comes each 0.2 s
                alive += connected.recv(65536).count(b'"kind":"alive"')
        wait_until(lambda: not page.is_serving(), "the page ends")


def test_https_by_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    certificate, key = authority.issue("page")
    settings = {"certificate_file": str(certificate), "key_file": str(key)}
    with serving_page(tmp_path, settings, context=context) as page:
        assert page.ask("GET", "/api/session").status == 401
        link = page.ask("GET", f"/link/{page.accounts.new_link()}")
        assert "; Secure" in link.headers["set-cookie"]
        # somebody who does not begin with TLS holds up nobody else
        with page.connect() as silent, page.connect():
            assert page.ask("GET", "/api/session").status == 401
            silent.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert page.ask("POST", "/api/logout", {}, {"Origin": page.origin.replace("https", "http")}).status == 403
        assert page.ask("POST", "/api/logout", {}).status == 204


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(Refused, match=r"page\.certificate_file"):
        build(tmp_path / "s", tmp_path / "p", [listening], NO_JOBS, first={"certificate_file": "/none.pem"})


def test_a_prefix_of_a_proxy_is_left_out_of_paths_and_within_cookies(tmp_path: Path) -> None:
    with serving_page(tmp_path, {"trusted_proxies": ["127.0.0.1"]}) as page:
        link = page.accounts.new_link()
        headers = {"X-Forwarded-Prefix": "/node", "X-Forwarded-Host": "home.example.org", "X-Forwarded-Proto": "https"}
        reply = page.ask("GET", f"/node/link/{link}", headers=headers)
        assert (reply.status, reply.headers["location"]) == (303, "../")
        assert reply.headers["set-cookie"].startswith("perceptd_443=")
        assert "; Path=/node/; " in reply.headers["set-cookie"]
        assert "; Secure" in reply.headers["set-cookie"]


def test_home_assistants_ingress_brings_an_owner_who_has_logged_in_there(tmp_path: Path) -> None:
    settings = {"trusted_proxies": ["127.0.0.1"], "proxy_login": "owner"}
    with serving_page(tmp_path, settings) as page:
        # what core and Supervisor send; the last address is that of core
        ingress = {
            "X-Ingress-Path": "/api/hassio_ingress/k7",
            "X-Forwarded-Host": "hass.local:8123",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-For": "192.168.1.7, 172.30.32.1",
            "X-Remote-User-Id": "4711",
        }
        assert page.ask("GET", "/api/session", headers=ingress).json["role"] == "owner"
        # a change comes from Home Assistant's own page, and from no other site
        assert page.ask("POST", "/api/logout", {}, {**ingress, "Origin": "http://hass.local:8123"}).status == 204
        assert page.ask("POST", "/api/logout", {}, {**ingress, "Origin": "http://evil.example"}).status == 403
        nobody = {name: value for name, value in ingress.items() if name != "X-Remote-User-Id"}
        assert page.ask("GET", "/api/session", headers=nobody).status == 401
