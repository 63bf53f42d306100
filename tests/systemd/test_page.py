"""The installed page: systemd starts it at the first connection, in a sandbox, and it ends when nobody comes."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
import yaml

from tests.helpers.mosquitto import free_port, wait_until
from tests.helpers.nspawn import Guest
from tests.systemd.test_service import CONFIG, START_S, Service

# each test restarts the service
pytestmark = [pytest.mark.xdist_group("guest"), pytest.mark.campaign("page-service", part=2)]

PAGE = "perceptd-page.service"
SOCKET = "perceptd-page.socket"
LOCAL = "perceptd.socket"
IDLE = "/etc/systemd/system/perceptd-page.service.d"
IDLE_EXIT_S = 3


@pytest.fixture
def page(guest: Guest) -> Iterator[int]:
    """The port of the page of a running service that has no broker; the page ends after three seconds."""
    service, before = Service(guest), guest.run("cat", CONFIG).stdout
    guest.run("mkdir", "-p", IDLE)
    command = f"/opt/perceptd/.venv/bin/perceptd page --idle-exit {IDLE_EXIT_S}"
    guest.write(f"{IDLE}/idle.conf", f"[Service]\nExecStart=\nExecStart={command}\n")
    # the guest is on the network of this machine, where the usual port may be taken
    port = free_port()
    guest.run("perceptd", "page", "--config", CONFIG, "--listen", f"127.0.0.1:{port}")
    service.start(mqtt={"port": free_port()}, history={"before_s": 1.0, "after_s": 1.0})
    yield port
    guest.run("systemctl", "stop", PAGE, SOCKET, "perceptd.service")
    guest.run("systemctl", "reset-failed", "perceptd.service", PAGE, check=False)
    guest.run("rm", "-r", IDLE)
    guest.run("perceptd", "page", "--config", CONFIG, "--listen", "127.0.0.1", check=False)
    guest.run("systemctl", "stop", SOCKET)
    guest.write(CONFIG, before)


def state(guest: Guest, unit: str) -> str:
    return guest.run("systemctl", "show", unit, "-P", "ActiveState").stdout.strip()


def ask(port: int, path: str, cookie: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    return connection.getresponse()


def log_in(guest: Guest, port: int) -> str:
    """Return the cookie of a login by the link that root gets."""
    link = guest.run("perceptd", "page", "--config", CONFIG, "--link").stdout.strip()
    assert link.startswith(f"http://localhost:{port}/link/")
    answer = ask(port, link.removeprefix(f"http://localhost:{port}"))
    assert answer.status == 303
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_the_page_starts_at_the_first_connection_and_ends_when_nobody_comes(guest: Guest, page: int) -> None:
    assert state(guest, PAGE) == "inactive"
    cookie = log_in(guest, page)
    assert state(guest, PAGE) == "active"
    answer = ask(page, "/api/describe", cookie)
    told = json.loads(answer.read())
    assert (answer.status, told["node"]) == (200, "demo")
    wait_until(lambda: state(guest, PAGE) == "inactive", "it ends", 10 * IDLE_EXIT_S)
    assert guest.run("systemctl", "show", PAGE, "-P", "Result").stdout.strip() == "success"
    assert ask(page, "/api/session", cookie).status == 200, "and starts again, with the session"


def test_the_page_runs_as_a_user_of_its_own_that_reaches_nothing_else(guest: Guest, page: int) -> None:
    log_in(guest, page)
    pid = guest.run("systemctl", "show", PAGE, "-P", "MainPID").stdout.strip()
    status = guest.run("cat", f"/proc/{pid}/status").stdout
    user = guest.run("id", "-u", "perceptd-page").stdout.strip()
    assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status
    assert "CapBnd:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    networks = [guest.run("readlink", f"/proc/{each}/ns/net").stdout for each in ("1", pid)]
    assert networks[0] != networks[1], "it has no network but the socket that it was given"
    assert (
        guest.run("stat", "--format=%U:%G %a", "/var/lib/perceptd-page").stdout == "perceptd-page:perceptd-page 700\n"
    )
    assert guest.run("stat", "--format=%U:%G %a", "/run/perceptd/local.sock").stdout == "root:perceptd-page 660\n"
    inside = ("nsenter", f"--target={pid}", "--mount", "setpriv", "--reuid=perceptd-page", "--clear-groups", "cat")
    for path in (CONFIG, "/var/lib/perceptd/outbox.db"):
        assert guest.run(*inside, path, check=False).returncode != 0, path


def test_the_page_is_opened_to_the_network_only_with_a_password(guest: Guest, page: int) -> None:
    refused = guest.run("perceptd", "page", "--config", CONFIG, "--listen", f"0.0.0.0:{page}", check=False)
    assert refused.returncode == 78
    assert "without a password: perceptd page --set-password" in refused.stderr
    guest.run("perceptd", "page", "--config", CONFIG, "--set-password", text="correct horse\n")
    opened = guest.run("perceptd", "page", "--config", CONFIG, "--listen", f"0.0.0.0:{page}")
    assert f"the page is at http://localhost:{page}/" in opened.stdout
    listening = guest.run("systemctl", "show", SOCKET, "-P", "Listen").stdout
    assert f"0.0.0.0:{page}" in listening
    assert json.loads(ask(page, "/api/session").read())["login"] == "password"
    guest.run("rm", "/var/lib/perceptd-page/accounts.json")


def test_an_address_that_another_program_has_leaves_the_page_where_it_is(guest: Guest, page: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = guest.run("perceptd", "page", "--config", CONFIG, "--listen", f"127.0.0.1:{port}", check=False)
    assert done.returncode == 78
    assert f"127.0.0.1:{port}: Address already in use; it stays at 127.0.0.1:{page}" in done.stderr
    log_in(guest, page)
    guest.run("systemctl", "stop", SOCKET)
    assert "does not listen: is perceptd running?" in guest.run("perceptd", "page", "--config", CONFIG, "--link").stderr


def test_root_reads_and_deletes_events_whether_the_daemon_runs_or_not(guest: Guest, page: int) -> None:
    def kept() -> list[str]:
        """Return the events with a clip."""
        listed = guest.run("perceptd", "history", "list", "--json", "--config", CONFIG, check=False)
        if "no event was kept yet" in listed.stderr:
            return []
        return [event["id"] for event in json.loads(listed.stdout)["events"] if event["clip"]]

    wait_until(lambda: len(kept()) > 1, "two events of the demo clip are kept", 3 * START_S)
    for command in ("start", "stop"):
        guest.run("systemctl", command, "perceptd.service", timeout_s=START_S)
        event = kept()[-1]
        guest.run("perceptd", "history", "export", event, "--out", f"/root/{command}", "--config", CONFIG)
        assert guest.run("ls", f"/root/{command}/{event}").stdout.split() == ["clip.mp4", "event.json", "snapshot.jpg"]
        guest.run("perceptd", "history", "delete", event, "--yes", "--config", CONFIG)
        assert event not in kept()
    foreign = ("find", "/var/lib/perceptd/history", "!", "-user", "perceptd", "-o", "-perm", "/077")
    assert guest.run(*foreign).stdout == "", "the service can use all that root has touched"
    guest.run("rm", "-r", "/root/start", "/root/stop")


def test_a_reload_turns_the_history_off_and_on(guest: Guest, page: int) -> None:
    cookie, settings = log_in(guest, page), yaml.safe_load(guest.run("cat", CONFIG).stdout)
    pid = guest.run("systemctl", "show", "perceptd.service", "-P", "MainPID").stdout
    for history in (None, {"before_s": 1.0}):
        guest.write(CONFIG, yaml.safe_dump({**settings, "history": history}))
        guest.run("systemctl", "reload", "perceptd.service", timeout_s=START_S)

        def told() -> object:
            return json.loads(ask(page, "/api/describe", cookie).read()).get("history", "no answer")

        wait_until(lambda history=history, told=told: (told() is None) is (history is None), "it is told", START_S)
    assert guest.run("systemctl", "show", "perceptd.service", "-P", "MainPID").stdout == pid


def test_a_daemon_that_is_stopped_or_cannot_start_is_not_started_by_the_page(guest: Guest, page: int) -> None:
    cookie = log_in(guest, page)
    guest.run("systemctl", "stop", "perceptd.service")
    assert (state(guest, LOCAL), state(guest, SOCKET)) == ("inactive", "active")
    assert ask(page, "/api/describe", cookie).status == 503
    assert state(guest, "perceptd.service") == "inactive"
    guest.write(CONFIG, yaml.safe_dump({"nod": "x"}))
    guest.run("systemctl", "start", "perceptd.service", check=False)
    assert ask(page, "/api/describe", cookie).status == 503
    wait_until(lambda: state(guest, LOCAL) == "inactive", "its socket ends")
    assert state(guest, "perceptd.service") == "failed"
    assert guest.run("systemctl", "show", "perceptd.service", "-P", "NRestarts").stdout.strip() == "0"


def test_a_film_is_made_within_the_sandbox(guest: Guest, page: int) -> None:
    cookie = log_in(guest, page)

    def clip() -> str | None:
        """Return the latest event whose clip is finished, in pictures that no browser plays."""
        events = json.loads(ask(page, "/api/events", cookie).read()).get("events", [])
        return next((each["id"] for each in events if each["clip"] and each["clip"]["video"] == "mjpeg"), None)

    wait_until(lambda: clip() is not None, "an event of the demo clip is kept", 2 * START_S)
    event = clip()
    for name, head in (("play.mp4", b"ftyp"), ("spectrogram.png", b"PNG")):
        path = f"/api/events/{event}/{name}"
        wait_until(lambda path=path: ask(page, path, cookie).status != 202, f"{name} is made", START_S)
        answer = ask(page, path, cookie)
        assert (answer.status, head in answer.read()[:12]) == (200, True)


def test_the_page_survives_a_restart_of_the_daemon(guest: Guest, page: int) -> None:
    cookie = log_in(guest, page)
    guest.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "perceptd.service")
    wait_until(lambda: state(guest, "perceptd.service") == "active", "the daemon is back", START_S)
    wait_until(lambda: ask(page, "/api/describe", cookie).status == 200, "the page reaches it", START_S)
    guest.run("systemctl", "restart", "perceptd.service", timeout_s=START_S)
    assert ask(page, "/api/describe", cookie).status == 200
