"""What a viewer, another program of the same machine, and another site of the same host cannot do to the page."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any
from unittest.mock import Mock

import pytest

from daemon.history.playback import ClipJobs
from daemon.web.accounts import MOST_SESSIONS, Accounts
from daemon.web.attempts import ADDRESS_ATTEMPTS
from daemon.web.connections import is_full
from daemon.web.daemon_link import MOST_AT_ONCE, MOST_PICTURES
from daemon.web.http_server import Limits
from daemon.web.page import all_routes
from daemon.web.renderings import Renderings, Unfinished
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import wait_until
from tests.helpers.page import PageUnderTest, rest_of, serving_page

pytestmark = pytest.mark.campaign("page-attacks")

PASSWORD, OTHER = "correct horse", "battery staple"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageUnderTest]:
    with serving_page(tmp_path_factory.mktemp("page")) as running:
        running.set_password(PASSWORD)
        yield running


# what anybody may do without a login, and what a viewer may not: all others are for viewers
FOR_ANYBODY = {
    "GET /",
    "GET /<folder:re:static|vendor>/<name:path>",
    "GET /link/<secret:re:[0-9A-Za-z_-]{1,100}>",
    "GET /api/session",
    "POST /api/login",
    "POST /api/logout",
}
FOR_OWNERS = {"GET /api/log", "GET /api/config"}


# what answers them is not called
ROUTES = {f"{route.method} {route.path}": route for route in all_routes(Mock(), Mock(), Mock(), Mock())}


@pytest.mark.parametrize("name", ROUTES)
def test_each_route_of_the_page_asks_who_comes(page: PageUnderTest, name: str) -> None:
    """A new route is refused to strangers, and to viewers where it changes something, or this test names it."""
    if name in FOR_ANYBODY:
        return
    route, asked = ROUTES[name], len(page.daemon.asked)
    path = re.sub(r"<[^>]*>", "event", route.path)
    content = {} if route.method == "POST" else None
    assert page.ask(route.method, path, content).status == 401
    if route.method == "GET":
        assert page.ask("HEAD", path).status == 401
    if route.method == "POST" or name in FOR_OWNERS:
        assert page.ask(route.method, path, content, cookie=page.session("viewer")).status == 403
    assert page.daemon.asked[asked:] == []


def test_a_request_that_is_refused_after_its_file_was_opened_leaves_no_descriptor(page: PageUnderTest) -> None:
    page.daemon.told["history_file"] = ({"media_type": "image/jpeg"}, b"a picture")
    page.daemon.told["history_show"] = ({"event": {"clip": {"video": "h264"}}}, None)
    viewer, many = page.session("viewer"), "&".join(f"a{n}=1" for n in range(30))
    before = open_files()
    for name in ("snapshot.jpg", "clip.mp4", "play.mp4"):
        for _ in range(3):
            assert page.ask("GET", f"/api/events/e1/{name}?{many}", cookie=viewer).status == 400
    assert open_files() <= before


def test_an_empty_file_leaves_no_descriptor(page: PageUnderTest) -> None:
    page.daemon.told["example_file"] = ({"media_type": "image/jpeg"}, b"")
    viewer, before = page.session("viewer"), open_files()
    for _ in range(3):
        assert page.ask("GET", "/api/examples/x/picture.jpg", cookie=viewer).status == 200
    assert open_files() <= before


def open_files() -> int:
    """Return how many files without a place in a folder this process has open: those of the daemon are such."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("/memfd:fake")
        except OSError:
            continue
    return found


def test_who_has_a_viewers_password_does_not_guess_the_owners_faster(tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        page.set_password(PASSWORD)
        page.set_password(OTHER, "viewer")
        guesses = []
        for _ in range(4 * ADDRESS_ATTEMPTS):
            page.ask("POST", "/api/login", {"password": OTHER})
            guesses.append(page.ask("POST", "/api/login", {"password": "a guess"}).status)
        assert guesses.count(401) <= ADDRESS_ATTEMPTS + 1


def test_viewers_who_log_in_again_and_again_do_not_log_the_owner_out(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    owner = accounts.begin_session("owner", "192.168.1.5")
    for _ in range(MOST_SESSIONS + 1):
        accounts.begin_session("viewer", "192.168.1.6")
    assert accounts.role_by_session(owner) == "owner"


@pytest.mark.parametrize(
    "cookies",
    [
        'ha={"a": [1, 2]}; {mine}',
        "{mine}; broken=\xe4\"',; =; ;;",
        "{name}=of-another-path; {mine}",
        "{mine}; {name}=of-another-path",
        '{name}=""; {mine}',
    ],
)
def test_cookies_of_other_sites_of_this_host_log_nobody_out(page: PageUnderTest, cookies: str) -> None:
    name = f"perceptd_{page.port}"
    header = cookies.replace("{mine}", f"{name}={page.session()}").replace("{name}", name)
    assert page.ask("GET", "/api/session", headers={"Cookie": header}).status == 200


def test_a_logout_ends_the_session_whatever_other_cookies_there_are(page: PageUnderTest) -> None:
    secret, name = page.session(), f"perceptd_{page.port}"
    header = {"Cookie": f"{name}={secret}; {name}=of-another-path"}
    assert page.ask("POST", "/api/logout", {}, header).status == 204
    assert page.accounts.role_by_session(secret) is None


def test_the_login_of_a_proxy_is_not_taken_for_a_token(page: PageUnderTest) -> None:
    basic = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    assert page.ask("GET", "/api/session", headers=basic, cookie=page.session()).status == 200
    assert page.ask("GET", "/api/session", headers=basic).status == 401
    # it is sent by browsers by themselves, so it is no token of a machine
    refused = page.ask("POST", "/api/reload", {}, {**basic, "Origin": ""}, cookie=page.session())
    assert (refused.status, "Origin" in refused.reason) == (403, True)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 40",
        b"Content-Length: 40\r\nContent-Length: 2",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Content-Length: 2\r\nTransfer-Encoding : chunked",
        b"Content-Length: 2\r\nTransfer-Encoding:\r\n chunked",
        b"Content-Length : 2",
        b"Content-Length:\r\n 2",
        b"Content-Length: +2",
        b"Content-Length: 0x2",
        b"Content-Length: 2\r\nHost: evil.example",
        b"Content-Length: 2\r\nOrigin: http://evil.example",
        b"Content-Length: 2\r\nX-Forwarded-Host: a\r\n evil.example",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_request_that_two_programs_can_read_in_two_ways_is_refused(
    page: PageUnderTest, head: bytes, version: bytes
) -> None:
    """Else a proxy and the page would take different bytes for the next request."""
    host = f"127.0.0.1:{page.port}".encode()
    second = b"GET /api/session HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    first = (
        b"POST /api/logout HTTP/" + version + b"\r\nHost: " + host + b"\r\nOrigin: http://" + host + b"\r\n"
        b"Connection: Keep-Alive\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n{}"
    )
    with page.connect() as connected:
        connected.sendall(first + second)
        connected.shutdown(socket.SHUT_WR)
        answer = rest_of(connected)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501 "))


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\ud800": 1}', "1e999", "NaN"])
def test_text_that_is_no_unicode_is_no_fault_of_the_page(page: PageUnderTest, text: str) -> None:
    owner = page.session()
    page.daemon.told["config_check"] = ({"problems": []}, None)
    page.daemon.told["command"] = ({"answer": {"ok": True}}, None)
    page.daemon.told["judge"] = ({"text": "noted"}, None)
    for path in ("/api/command/teach", "/api/events/e1/judge", "/api/login", "/api/config"):
        body = f'{{"text": {text}, "label": {text}, "password": {text}, "confirm": true, "x": {text}}}'.encode()
        assert page.ask("POST", path, body, cookie=owner).status < 500


def test_a_viewer_is_not_told_the_configuration_of_the_page(page: PageUnderTest) -> None:
    told = page.ask("GET", "/api/describe", cookie=page.session("viewer"))
    assert told.json["node"] == "demo"
    assert "page" not in told.json


LIMITS = Limits(connections=8, of_one_address=3)


@pytest.mark.parametrize(
    ("open_now", "address", "is_proxy", "is_refused"),
    [
        (["192.0.2.1"] * 2, "192.0.2.1", False, False),
        (["192.0.2.1"] * 3, "192.0.2.1", False, True),
        (["192.0.2.1"] * 3, "192.0.2.1", True, False),
        (["192.0.2.1"] * 3, "192.0.2.2", False, False),
        # whoever has one address of IPv6 has 2**64 of them
        ([f"2001:db8::{n}" for n in range(3)], "2001:db8::abcd:1", False, True),
        ([f"2001:db8::{n}" for n in range(3)], "2001:db8:0:1::1", False, False),
        ([f"192.0.2.{n}" for n in range(8)], "198.51.100.1", True, True),
    ],
)
def test_one_visitor_has_some_of_the_connections(
    open_now: list[str], address: str, is_proxy: bool, is_refused: bool
) -> None:
    assert is_full(open_now, address, LIMITS, is_proxy=is_proxy) is is_refused


def wait_for_input(clip: str, target: str) -> None:
    """In a child process: wait until the clip has a byte."""
    os.write(int(target), os.read(int(clip), 1))


def test_a_film_of_an_event_that_is_deleted_meanwhile_is_not_kept() -> None:
    renderings, clip, key = Renderings(ClipJobs(wait_for_input, wait_for_input)), os.pipe(), ("e1", 1, "film")
    asked = ThreadPoolExecutor(1)
    try:
        first = asked.submit(renderings.get, key, clip[0])
        wait_until(lambda: any(each.name == "page-rendering" for each in enumerate_threads()), "the film is begun")
        renderings.forget("e1")
        os.write(clip[1], b"x")
        with pytest.raises(Unfinished):
            first.result(20)
        # another request makes it anew, of what the daemon opens then
        second = asked.submit(renderings.get, key, clip[0])
        os.write(clip[1], b"y")
        film = second.result(20)
        assert os.pread(film, 10, 0) == b"y"
        os.close(film)
        renderings.forget("e1")
    finally:
        asked.shutdown()
        renderings.close()
        for each in clip:
            os.close(each)


def test_pictures_of_cameras_that_give_none_leave_room_for_other_requests(tmp_path: Path) -> None:
    come = Event()

    def no_picture(_asked: dict[str, Any]) -> tuple[dict[str, Any], None]:
        come.wait(60)
        return {}, None

    with serving_page(tmp_path) as page, ThreadPoolExecutor(MOST_AT_ONCE) as viewers:
        page.daemon.told |= {"picture": no_picture, "topics": ({"topics": {}}, None)}
        viewer = page.session("viewer")
        asked = [viewers.submit(page.ask, "GET", "/api/picture/door", cookie=viewer) for _ in range(MOST_AT_ONCE)]
        try:
            wait_until(lambda: len(page.daemon.requests("picture")) >= MOST_PICTURES, "they wait for the camera")
            assert page.ask("GET", "/api/topics", cookie=page.session()).status == 200
        finally:
            come.set()
        assert {each.result().status for each in asked} == {204}


def test_two_who_write_the_config_at_once_leave_one_whole_text(tmp_path: Path) -> None:
    path, rounds = tmp_path / "config.yaml", 10
    with serving_page(tmp_path) as page, ThreadPoolExecutor(2) as owners:
        page.daemon.told |= {
            "config": ({"path": str(path), "text": ""}, None),
            "config_check": ({"problems": []}, None),
        }
        owner = page.session()
        for number in range(rounds):
            path.write_text(f"before: {number}")
            tag = page.ask("GET", "/api/config", cookie=owner).json["tag"]
            texts = ["a: " + "x" * 100_000, "b: y"]
            given = [{"text": text, "tag": tag, "confirm": True} for text in texts]
            asked = [owners.submit(page.ask, "POST", "/api/config", each, cookie=owner) for each in given]
            assert sorted(each.result().status for each in asked) == [200, 409]
            assert path.read_text() in texts
            assert (tmp_path / "config.yaml.before").read_text() == f"before: {number}"


def test_a_handshake_of_tls_that_stalls_is_ended_and_holds_up_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("page")
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    section = {"certificate_file": str(certificate), "key_file": str(key)}
    limits = Limits(first_byte_s=0.3, request_s=0.5)
    with (
        serving_page(tmp_path, section, limits=limits, context=context) as page,
        page.connect() as silent,
        page.connect() as begun,
        page.connect() as plain,
    ):
        # the head of a ClientHello that never comes
        begun.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.ask("GET", "/api/session").status == 401
        assert not any(rest_of(each).startswith(b"HTTP/1.1 2") for each in (silent, begun, plain))


def test_whether_an_event_stays_is_true_or_false(page: PageUnderTest) -> None:
    page.daemon.told["history_keep"] = ({}, None)
    page.ask("POST", "/api/events/e1/keep", {"on": "false"}, cookie=page.session())
    assert page.daemon.requests("history_keep")[-1]["on"] == "false"  # the daemon refuses it
