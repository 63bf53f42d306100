"""Where the local socket comes from: systemd, or the state directory; and why there is none."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.node.local_socket import LocalSocket
from tests.helpers.daemon import ROOT

# as systemd starts a service: descriptors from 3 on, and the id of the process
ACTIVATED = """
import fcntl, os, sys
for place, number in enumerate([fcntl.fcntl(int(number), fcntl.F_DUPFD, 50) for number in sys.argv[3:]]):
    os.dup2(number, 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
from pathlib import Path
from daemon.node.local_socket import LocalSocket
with LocalSocket.from_environment() as local:
    listener = local.listener(Path(sys.argv[2]))
    print(listener.getsockname(), os.get_inheritable(listener.fileno()), *(n for n in os.environ if "LISTEN" in n))
"""


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))


def test_its_own_socket_is_for_the_owner_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "local.sock"
    with LocalSocket() as local:
        listener = local.listener(path)
        assert listener is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        connect(path)
        assert local.listener(path) is listener, "the next node has the same"
        other = tmp_path / "other" / "local.sock"
        assert local.listener(other) is not None
        connect(other)
        assert not path.exists()
        assert local.problem is None
    assert not other.exists()


def test_what_a_killed_daemon_has_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "local.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with LocalSocket() as local:
        assert local.listener(path) is not None
        connect(path)


def test_where_there_can_be_none_the_reason_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "local.sock"
    with LocalSocket() as first, LocalSocket() as second:
        first.listener(path)
        assert second.listener(path) is None
        assert second.problem is not None
        assert "another daemon with the same state_directory answers there" in second.problem
    (tmp_path / "file").write_text("mine")
    with LocalSocket() as local:
        assert local.listener(tmp_path / "file") is None
        assert "which is no socket; remove it" in str(local.problem)
        assert local.listener(tmp_path / ("x" * 107)) is None
        assert "may have 107 bytes; set a shorter state_directory" in str(local.problem)
        assert local.listener(tmp_path / "file" / "local.sock") is None
        assert str(local.problem) in caplog.text
        assert local.listener(path) is not None
        assert local.problem is None
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("names", "offset", "own"), [("other:local", 0, False), ("other:x", 0, True), ("local", 1, True)]
)
def test_the_socket_of_systemd_is_taken_by_its_name(tmp_path: Path, names: str, offset: int, own: bool) -> None:
    given, mine = tmp_path / "given.sock", tmp_path / "own.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, (tmp_path / "file").open("w") as other:
        listener.bind(str(given))
        listener.listen()
        order = [other.fileno(), listener.fileno()] if names.startswith("other") else [listener.fileno()]
        done = subprocess.run(
            [sys.executable, "-c", ACTIVATED, str(offset), str(mine), *map(str, order)],
            env={**os.environ, "LISTEN_FDS": str(len(order)), "LISTEN_FDNAMES": names},
            pass_fds=order,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stdout.split() == [str(mine if own else given), "False"], done.stderr
    assert given.exists(), "it is systemd's to remove"


def test_what_systemd_passes_under_the_name_must_be_a_listening_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as wrong:
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "local"}
        with LocalSocket.from_environment(environment, wrong.fileno()) as local:
            listener = local.listener(tmp_path / "local.sock")
            assert listener is not None
            assert listener.getsockname() == str(tmp_path / "local.sock")
        assert environment == {}
        assert wrong.fileno() >= 0
    assert "expected ListenStream= with a path" in caplog.text


@pytest.mark.parametrize("count", ["none", "0", "65"])
def test_a_wrong_count_of_passed_sockets_leaves_the_daemon_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: str
) -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "local"}
    with LocalSocket.from_environment(environment) as local:
        listener = local.listener(tmp_path / "local.sock")
        assert listener is not None
        assert listener.getsockname() == str(tmp_path / "local.sock")
    assert "expected 1 to 64 sockets" in caplog.text
