"""The first process of a container: it runs the node, watches it, and starts the page when somebody connects."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.cli.container import ensure_config, ensure_state, health
from daemon.cli.container_watch import SILENCE_S, START_S, Watch
from daemon.config.node import load_config
from daemon.core.errors import Refused
from daemon.core.timing import NS_PER_S
from tests.fakes.local_daemon import FakeDaemon

ROOT = Path(__file__).resolve().parents[2]
S = NS_PER_S

# takes the scripts of node and page, and the port
RUN = """
import os, sys
from pathlib import Path
from daemon.cli.container_processes import Processes
from daemon.web.listening import own_socket
directory, port = Path(sys.argv[1]), int(sys.argv[2])
with own_socket("127.0.0.1", port) as listening:
    print(listening.getsockname()[1], flush=True)
    node, page = (["/bin/sh", f"{directory}/{name}"] for name in ("node", "page"))
    sys.exit(Processes(node, page, listening, directory, os.environ, restart_s=0.05).run())
"""
# says to the first process what a node says of itself
REPORT = f"""{sys.executable} -c 'import os, socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), os.environ["NOTIFY_SOCKET"])' """
WAIT = "echo up; sleep 100 & wait"


@contextmanager
def running(directory: Path, node: str, page: str = "exit 3") -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run shell scripts as node and page; yield the first process, and the port of the page."""
    (directory / "node").write_text(f"cd {directory}\n{node}\n")
    (directory / "page").write_text(f"cd {directory}\n{page}\n")
    command = [sys.executable, "-c", RUN, str(directory), "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("code", [0, 65, 78])
def test_a_node_that_has_ended_for_good_ends_the_container(tmp_path: Path, code: int) -> None:
    with running(tmp_path, f"echo >>runs; exit {code}") as (process, _):
        assert process.wait(60) == code
    assert (tmp_path / "runs").read_text() == "\n"


def test_a_node_that_fails_or_is_killed_starts_again(tmp_path: Path) -> None:
    script = "echo >>runs; case $(wc -l <runs) in 1) exit 1;; 2) kill -9 $$;; *) exit 0;; esac"
    with running(tmp_path, script) as (process, _):
        assert process.wait(60) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert "the node has ended: exit code 1; it starts again" in told
    assert "the node has ended: by SIGKILL; it starts again" in told


def test_a_node_whose_loop_hangs_is_ended_and_starts_again(tmp_path: Path) -> None:
    hangs = f"echo >>runs; [ $(wc -l <runs) = 2 ] && exit 0; {REPORT} WATCHDOG=trigger; exec sleep 100"
    with running(tmp_path, hangs) as (process, _):
        assert process.wait(60) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert "the node reports a loop without progress; it is started again" in told
    assert "by SIGABRT" in told


def test_a_stop_ends_node_and_page_and_takes_orphans_along(tmp_path: Path) -> None:
    node = f"trap 'echo stopped >>node.log; kill $!; exit 0' TERM; {WAIT}"
    page = """echo "$LISTEN_FDS $([ $LISTEN_PID = $$ ] && echo me)" >>page.log
        [ -S /proc/self/fd/3 ] && echo socket >>page.log
        trap 'echo stopped >>page.log; kill $!; exit 0' TERM; echo page; sleep 100 & wait"""
    with running(tmp_path, node, page) as (process, port):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        with socket.create_connection(("127.0.0.1", port)):
            assert process.stdout.readline() == "page\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert (tmp_path / "node.log").read_text() == "stopped\n"
    assert (tmp_path / "page.log").read_text() == "1 me\nsocket\nstopped\n"


def test_a_hangup_reaches_the_node_alone(tmp_path: Path) -> None:
    with running(tmp_path, f"trap 'kill $!; exit 65' HUP; {WAIT}") as (process, _):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 65


def test_a_page_that_cannot_start_is_not_started_in_a_circle(tmp_path: Path) -> None:
    with running(tmp_path, "exec sleep 100", "echo page; exit 1") as (process, port):
        assert process.stdout is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert process.stdout.readline() == "page\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
            assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("datagrams", "now_s", "problem"),
    [
        ([], START_S - 1, None),
        ([], START_S, "the node is not ready after 90 s"),
        ([(b"STATUS=loading", 80)], START_S, "the node is not ready after 90 s"),
        ([(b"READY=1", 10)], 10 + SILENCE_S - 1, None),
        ([(b"READY=1", 10)], 10 + SILENCE_S, "the node reports nothing for 6 s"),
        ([(b"READY=1\nSTATUS=recognising", 10), (b"WATCHDOG=1", 15)], 20, None),
        ([(b"READY=1", 10), (b"STATUS=x", 15)], 16, "the node reports nothing for 6 s"),
        # a switch of bundles takes longer, and then the first interval counts again
        ([(b"READY=1", 10), (b"WATCHDOG_USEC=60000000", 12)], 71, None),
        ([(b"READY=1", 10), (b"WATCHDOG_USEC=60000000", 12), (b"WATCHDOG_USEC=6000000", 20)], 26, "for 6 s"),
        ([(b"READY=1", 10), (b"WATCHDOG=trigger", 11)], 11, "a loop without progress"),
        # nothing of this means anything
        ([(b"\xff=1\nREADY\nREADY=0\nWATCHDOG_USEC=-1\nWATCHDOG_USEC=" + b"9" * 30, 10)], START_S, "is not ready"),
    ],
)
def test_a_silent_node_is_found(datagrams: list[tuple[bytes, float]], now_s: float, problem: str | None) -> None:
    watch = Watch(0)
    for datagram, at_s in datagrams:
        watch.take(datagram, round(at_s * S))
    found = watch.problem(round(now_s * S))
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_the_first_start_writes_a_config_that_plays_the_demo_and_later_ones_do_not(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    ensure_config(config, ROOT)
    loaded = load_config(config).document
    assert Path(loaded.bundle).is_dir()
    assert all(stream.replay and Path(stream.replay.file).is_file() for stream in loaded.streams.values())
    config.write_text("mine")
    ensure_config(config, ROOT)
    assert config.read_text() == "mine"


def test_an_empty_folder_as_volume_gets_what_the_links_of_the_image_lead_to(tmp_path: Path) -> None:
    volume, image = tmp_path / "data", tmp_path / "image"
    for folder in (volume, image):
        folder.mkdir()
    for name in ("config", "state"):
        (image / name).symlink_to(volume / name)
    ensure_state(image / "state")
    ensure_config(image / "config/config.yaml", ROOT)
    assert (volume / "state").stat().st_mode & 0o777 == 0o700
    assert (volume / "config/config.yaml").is_file()


def test_a_volume_of_somebody_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    named = f"The volume /data must belong to user {os.getuid()}"
    with pytest.raises(Refused, match=named):
        ensure_config(tmp_path / "data" / "config.yaml", ROOT)
    with pytest.raises(Refused, match=named):
        ensure_state(tmp_path / "data" / "state")


def test_a_node_is_healthy_while_it_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "local.sock"
    with FakeDaemon(path).serving():
        assert health(path) == 0
    assert health(path) == 1
    assert "does not answer" in capsys.readouterr().err
