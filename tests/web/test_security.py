"""Attacks on the page are refused, and the daemon is untouched. All run in the campaign `page-attacks`."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.web.attempts import ADDRESS_ATTEMPTS, STRANGERS_ATTEMPTS, STRANGERS_EVERY_S
from daemon.web.followers import MOST, MOST_VIEWERS
from daemon.web.http_server import MAX_BODY_BYTES, MAX_CONFIG_BYTES, Limits
from tests.helpers.campaign import repetitions, share
from tests.helpers.mosquitto import wait_until
from tests.helpers.page import PageUnderTest, rest_of, serving_page

pytestmark = pytest.mark.campaign("page-attacks")

PASSWORD = "correct horse"
QUICK = Limits(connections=40, of_one_address=20, first_byte_s=0.3, request_s=0.5, keep_alive_s=1.0, progress_s=2.0)


CHANGES = (
    "/api/events/e1/judge",
    "/api/events/e1/keep",
    "/api/events/e1/delete",
    "/api/command/teach",
    "/api/command/pause",
    "/api/config",
    "/api/reload",
    "/api/doctor",
)
VIEWS = (
    "/api/follow",
    "/api/describe",
    "/api/topics",
    "/api/days",
    "/api/events",
    "/api/events/e1",
    "/api/events/e1/snapshot.jpg",
    "/api/events/e1/clip.mp4",
    "/api/events/e1/play.mp4",
    "/api/events/e1/spectrogram.png",
    "/api/picture/door",
    "/api/examples/x/picture.jpg",
    "/api/examples/x/sound.wav",
)
OWNERS_VIEWS = ("/api/log", "/api/config")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageUnderTest]:
    with serving_page(tmp_path_factory.mktemp("page")) as running:
        running.set_password(PASSWORD)
        yield running


@pytest.fixture
def untouched(page: PageUnderTest) -> Iterator[PageUnderTest]:
    """The page; afterwards it is seen that the daemon was asked nothing."""
    before = len(page.daemon.asked)
    yield page
    assert page.daemon.asked[before:] == []


@pytest.mark.parametrize("path", [*VIEWS, *OWNERS_VIEWS])
def test_without_a_login_nothing_is_shown(untouched: PageUnderTest, path: str) -> None:
    for headers in ({}, {"Cookie": f"perceptd_{untouched.port}=nonsense"}, {"Authorization": "Bearer nonsense"}):
        reply = untouched.ask("GET", path, headers=headers)
        assert reply.status == 401
        assert set(reply.json) == {"reason", "login"}


@pytest.mark.parametrize("path", CHANGES)
def test_without_a_login_nothing_is_changed(untouched: PageUnderTest, path: str) -> None:
    assert untouched.ask("POST", path, {}).status == 401


@pytest.mark.parametrize("path", [*CHANGES, "/api/login", "/api/logout"])
@pytest.mark.parametrize(
    "origin", ["", "null", "http://evil.example", "https://127.0.0.1:{port}", "http://localhost:{port}"]
)
def test_another_site_changes_nothing(untouched: PageUnderTest, path: str, origin: str) -> None:
    headers = {"Origin": origin.format(port=untouched.port)}
    reply = untouched.ask("POST", path, {"password": PASSWORD}, headers, cookie=untouched.session())
    assert (reply.status, "site" in reply.reason) == (403, True)
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/describe", "/api/session", "/link/x", "/none"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "192.0.2.1", ""])
def test_under_a_foreign_name_nothing_is_answered(untouched: PageUnderTest, path: str, host: str) -> None:
    reply = untouched.ask("GET", path, headers={"Host": host.format(port=untouched.port)}, cookie=untouched.session())
    assert reply.status == 403
    assert "page.trusted_hosts" in reply.reason or (not host and "names no valid host" in reply.reason)


def test_a_forwarded_name_of_no_proxy_does_not_count(untouched: PageUnderTest) -> None:
    for name in ("X-Forwarded-Host", "X_Forwarded_Host", "X-Ingress-Path", "Forwarded"):
        reply = untouched.ask("GET", "/api/describe", headers={"Host": "evil.example", name: "localhost"})
        assert reply.status == 403


@pytest.mark.parametrize("path", CHANGES)
def test_a_viewer_changes_nothing(untouched: PageUnderTest, path: str) -> None:
    reply = untouched.ask("POST", path, {"label": "kettle"}, cookie=untouched.session("viewer"))
    assert (reply.status, "owner" in reply.reason) == (403, True)
    token = untouched.accounts.new_token("board", "viewer")
    assert untouched.ask("POST", path, {}, {"Authorization": f"Bearer {token}"}).status == 403


@pytest.mark.parametrize("path", OWNERS_VIEWS)
def test_a_viewer_sees_neither_config_nor_log(untouched: PageUnderTest, path: str) -> None:
    assert untouched.ask("GET", path, cookie=untouched.session("viewer")).status == 403


NAMES = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5cetc%5cpasswd",
    "....//....//etc/passwd",
    "%00",
    "e1%00.mp4",
    "e1/../../../etc/passwd",
    "%c0%ae%c0%ae/etc/passwd",
    "%F0%9F%92%A9",
    "a" * 65,
)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folders(untouched: PageUnderTest, name: str) -> None:
    owner = untouched.session()
    for path in (f"/static/{name}", f"/vendor/{name}", f"/{name}", f"/api/events/{name}/clip.mp4"):
        reply = untouched.ask("GET", path, cookie=owner)
        assert reply.status in (400, 404)
        assert b"root:" not in reply.body


def test_a_link_works_once_and_a_look_ahead_does_not_use_it_up(page: PageUnderTest) -> None:
    link = page.accounts.new_link()
    assert page.ask("HEAD", f"/link/{link}").status == 400
    reply = page.ask("GET", f"/link/{link}")
    assert (reply.status, reply.headers["location"]) == (303, "../")
    cookie = reply.headers["set-cookie"]
    assert [each.strip() for each in cookie.split(";")][1:] == [
        "Path=/",
        "Max-Age=2592000",
        "HttpOnly",
        "SameSite=Strict",
    ]
    secret = cookie.partition("=")[2].partition(";")[0]
    assert page.ask("GET", "/api/session", cookie=secret).json["role"] == "owner"
    assert page.ask("GET", f"/link/{link}").status == 401
    # who opens it twice gets to the page, and keeps the session
    again = page.ask("GET", f"/link/{link}", cookie=secret)
    assert (again.status, again.headers["location"]) == (303, "../")
    assert "set-cookie" not in again.headers
    viewer = page.accounts.begin_session("viewer", "127.0.0.1")
    assert page.ask("GET", f"/link/{link}", cookie=viewer).status == 401


def test_a_login_ends_the_session_of_before_and_a_logout_ends_it(page: PageUnderTest) -> None:
    before = page.session("viewer")
    reply = page.ask("POST", "/api/login", {"password": PASSWORD}, cookie=before)
    assert reply.status == 204
    secret = reply.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert secret != before
    assert page.accounts.role_by_session(before) is None
    assert page.ask("POST", "/api/logout", {}, cookie=secret).status == 204
    assert page.ask("GET", "/api/session", cookie=secret).status == 401


def test_ten_thousand_logins_are_limited_and_the_owner_gets_in(tmp_path: Path) -> None:
    with serving_page(tmp_path, {"trusted_proxies": ["127.0.0.1"]}) as page:
        page.set_password(PASSWORD)
        page.accounts.begin_session("owner", "192.168.1.5")
        began_ns = monotonic_ns()
        statuses = [attempt(page, "guess", f"10.{n % 200}.{n // 200}.1") for n in range(repetitions(60, 9_000))] + [
            attempt(page, "guess", "10.250.1.1") for _ in range(repetitions(10, 1_000))
        ]
        seconds = (monotonic_ns() - began_ns) / NS_PER_S
        assert set(statuses) == {401, 429}
        assert statuses.count(401) <= STRANGERS_ATTEMPTS + seconds / STRANGERS_EVERY_S + 1
        assert attempt(page, PASSWORD, "10.99.99.99") == 429, "a stranger waits"
        assert attempt(page, PASSWORD, "192.168.1.5") == 204, "who has logged in from here before does not"
        assert page.daemon.asked == []


def test_one_address_is_told_when_to_come_again(tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        page.set_password(PASSWORD)
        assert [attempt(page, "guess") for _ in range(ADDRESS_ATTEMPTS + 1)] == [401] * ADDRESS_ATTEMPTS + [429]
        reply = page.ask("POST", "/api/login", {"password": PASSWORD})
        assert (reply.status, int(reply.headers["retry-after"]) <= 21) == (429, True)
        # the owner, on the device, needs no attempt
        assert page.ask("GET", f"/link/{page.accounts.new_link()}").status == 303


def attempt(page: PageUnderTest, password: str, address: str | None = None) -> int:
    headers = {} if address is None else {"X-Forwarded-For": address, "X-Forwarded-Host": "home.example.org"}
    if address is not None:
        headers["Origin"] = "http://home.example.org"
    return page.ask("POST", "/api/login", {"password": password}, headers).status


@pytest.mark.parametrize(
    "raw",
    share(
        [
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1_000_000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b;" * 100_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
            b"A" * 1_000_000,
            b"\x16\x03\x01" + bytes(1000),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\nhello",
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
            b"\r\n" * 1000,
            b"\x00" * 1000,
        ],
        10,
        "header bombs",
    ),
)
def test_requests_that_are_none_are_refused(untouched: PageUnderTest, raw: bytes) -> None:
    with untouched.connect() as connected:
        try:
            connected.sendall(raw)
            connected.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before it has read all
        answer = rest_of(connected)
    assert answer[:12] == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert b"Traceback" not in answer
    assert untouched.ask("GET", "/api/session").status == 401


@pytest.mark.parametrize(
    ("path", "most"),
    [("/api/command/teach", MAX_BODY_BYTES), ("/api/login", MAX_BODY_BYTES), ("/api/config", MAX_CONFIG_BYTES)],
)
def test_bodies_of_ten_megabytes_are_refused_unread(untouched: PageUnderTest, path: str, most: int) -> None:
    owner = untouched.session()
    for size in (most + 1, 10 << 20):
        with untouched.connect() as connected:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{untouched.port}\r\nOrigin: {untouched.origin}\r\n"
                f"Cookie: perceptd_{untouched.port}={owner}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {size}\r\n\r\n"
            )
            connected.sendall(head.encode())
            assert connected.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_slow_requests_are_ended_and_hold_up_nobody(tmp_path: Path) -> None:
    with serving_page(tmp_path, limits=QUICK) as page:
        silent, begun, slow = page.connect("127.0.0.2"), page.connect("127.0.0.2"), page.connect("127.0.0.2")
        with silent, begun, slow:
            begun.sendall(b"GET / HT")
            slow.sendall(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert page.ask("GET", "/api/session").status == 401
            stopping = threading.Event()
            thread = threading.Thread(target=drip, args=(begun, stopping))
            thread.start()
            try:
                assert [rest_of(each)[:0] for each in (silent, begun, slow)] == [b"", b"", b""]
            finally:
                stopping.set()
                thread.join(60)


def drip(connected: socket.socket, stopping: threading.Event) -> None:
    """Send a byte now and then, so that no time-out of a single read ends the request."""
    while not stopping.wait(0.1):
        try:
            connected.sendall(b"x")
        except OSError:
            return


def test_a_thousand_connections_of_one_address_leave_room_for_others(tmp_path: Path) -> None:
    with serving_page(tmp_path, limits=QUICK) as page:
        flood = [page.connect("127.0.0.2") for _ in range(repetitions(100, 1000))]
        assert page.ask("GET", "/api/session").status == 401
        assert threads_of_connections() <= QUICK.of_one_address + 1
        for connected in flood:
            connected.close()
        wait_until(lambda: threads_of_connections() == 0, "the connections have ended")


def test_connections_of_many_addresses_are_bounded_in_number(tmp_path: Path) -> None:
    with serving_page(tmp_path, limits=QUICK) as page:
        flood = [page.connect(f"127.0.{n // 200}.{n % 200 + 2}") for n in range(repetitions(100, 1000))]
        assert threads_of_connections() <= QUICK.connections
        # those that send nothing make room soon
        wait_until(lambda: answers(page), "the page answers again")
        for connected in flood:
            connected.close()


def threads_of_connections() -> int:
    return sum(thread.name == "page-connection" for thread in threading.enumerate())


def answers(page: PageUnderTest) -> bool:
    try:
        return page.ask("GET", "/api/session").status == 401
    except (OSError, http.client.HTTPException):
        return False


def test_followers_are_bounded_and_viewers_leave_room_for_the_owner(tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        viewer, owner = page.session("viewer"), page.session()
        open_now = []
        for cookie, most in ((viewer, MOST_VIEWERS), (owner, MOST - MOST_VIEWERS)):
            for _ in range(most):
                connected = follow(page, cookie)
                assert connected.recv(65536).startswith(b"HTTP/1.1 200 ")
                open_now.append(connected)
            with follow(page, cookie) as refused:
                assert refused.recv(65536).startswith(b"HTTP/1.1 503 ")
        for connected in open_now:
            connected.close()
        wait_until(lambda: follows(page, owner), "those who have left make room")


def follow(page: PageUnderTest, cookie: str) -> socket.socket:
    connected = page.connect()
    host = f"127.0.0.1:{page.port}"
    connected.sendall(
        f"GET /api/follow HTTP/1.1\r\nHost: {host}\r\nCookie: perceptd_{page.port}={cookie}\r\n\r\n".encode()
    )
    return connected


def follows(page: PageUnderTest, cookie: str) -> bool:
    with follow(page, cookie) as connected:
        return connected.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_every_answer_has_the_headers_that_protect_it(page: PageUnderTest) -> None:
    owner = page.session()
    for method, path in (
        ("GET", "/"),
        ("GET", "/none"),
        ("GET", "/api/describe"),
        ("POST", "/api/login"),
        ("PUT", "/"),
    ):
        headers = page.ask(method, path, cookie=owner).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
