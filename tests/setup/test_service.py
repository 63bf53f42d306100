"""How systemd is asked, by a systemctl that says what a test wants."""

from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.setup.service import Pause, Systemd
from daemon.setup.unit import PROPERTIES

SYSTEMCTL = """#!/bin/sh
echo "$@" >>{directory}/commands
case "$1" in
  show)
    set -- {directory}/states/*
    cat "$1"
    # the last state stays
    [ $# -eq 1 ] || rm "$1" ;;
  restart) echo "Transport endpoint is not connected" >&2; exit {restart} ;;
  reset-failed) exit 1 ;;
esac
"""

JOURNALCTL = '#!/bin/sh\necho "an older line\ncannot open rtsp://me:hunter2@cam/x\n1\n2\n3\n4"\n'

# what PROPERTIES are called here
NAMES = ("load", "active", "sub", "result", "exit_code", "status", "job", "restarts")

RECOGNISES = {"status": "recognising: 1 stream"}


def systemd(directory: Path, *states: dict[str, str], restart: int = 0) -> Systemd:
    """Return a systemd whose service has these states, one after the other. Without any it runs."""
    (directory / "states").mkdir(exist_ok=True)
    usual = dict(zip(NAMES, ("loaded", "active", "running", "success", "0", "", "", "0"), strict=True))
    for number, state in enumerate(states or [{}]):
        values = zip(PROPERTIES, (usual | state).values(), strict=True)
        text = "".join(f"{name}={value}\n" for name, value in values)
        (directory / "states" / f"{number}").write_text(text)
    scripts = {
        "systemctl": SYSTEMCTL.format(directory=directory, restart=restart),
        "journalctl": JOURNALCTL,
    }
    for name, script in scripts.items():
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)
    return Systemd(str(directory / "systemctl"), directory, str(directory / "journalctl"))


def commands(directory: Path) -> list[str]:
    """Return what systemctl was told to do, without questions."""
    file = directory / "commands"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in lines if not line.startswith("show")]


@pytest.mark.parametrize(
    ("load", "has_unit"), [("loaded", True), ("not-found", False), ("masked", True), ("bad-setting", True)]
)
def test_a_unit_is_there_where_systemd_knows_it(tmp_path: Path, load: str, *, has_unit: bool) -> None:
    assert systemd(tmp_path, {"load": load}).has_unit() is has_unit


def test_without_systemd_there_is_no_unit(tmp_path: Path) -> None:
    systemd(tmp_path)
    assert not Systemd(str(tmp_path / "systemctl"), tmp_path / "missing").has_unit()
    assert not Systemd(str(tmp_path / "missing"), tmp_path).has_unit()


START = ["reset-failed perceptd.service", "restart --no-block perceptd.service"]


@pytest.mark.parametrize("enables", [True, False])
def test_a_start_is_a_restart_whatever_failed_before(tmp_path: Path, *, enables: bool) -> None:
    systemd(tmp_path).start(enables=enables)
    assert commands(tmp_path) == [*(["enable perceptd.service"] if enables else []), *START]


def test_a_start_that_fails_says_what_systemctl_says(tmp_path: Path) -> None:
    message = r"^systemctl restart --no-block perceptd\.service failed: Transport endpoint is not connected$"
    with pytest.raises(Refused, match=message):
        systemd(tmp_path, restart=1).start(enables=False)


def test_a_masked_service_is_not_started_and_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"sudo systemctl unmask perceptd$"):
        systemd(tmp_path, {"load": "masked", "active": "inactive"}).start(enables=True)
    assert commands(tmp_path) == []


def test_a_pause_ends_once_and_only_where_it_began(tmp_path: Path) -> None:
    idle, paused, taken = (Pause(systemd(tmp_path), ran=ran) for ran in (False, True, True))
    assert (idle.is_needed, paused.is_needed) == (False, True)
    idle.end(print)
    for each in (paused, taken):
        each.begin()
        assert not each.is_needed
    taken.forget()
    for each in (taken, paused, paused):
        each.end(print)
    assert commands(tmp_path) == ["stop perceptd.service"] * 2 + START


def test_a_pause_that_cannot_end_says_why(tmp_path: Path) -> None:
    pause = Pause(systemd(tmp_path, {}, {"active": "failed", "result": "exit-code", "exit_code": "1"}), ran=True)
    pause.begin()
    with pytest.raises(Refused, match=r"^the service is failed: it has ended with exit code 1$"):
        pause.end(print)


WAITS = {"active": "inactive", "sub": "dead", "job": "77"}
AGAIN = {"active": "activating", "sub": "auto-restart", "result": "exit-code", "exit_code": "1"}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([RECOGNISES], []),
        # before the old one ends, its status counts for nothing
        ([RECOGNISES | {"job": "77"}, {"active": "deactivating", "job": "77"}, RECOGNISES], ["recognising: 1 stream"]),
        ([WAITS, WAITS, RECOGNISES], ["systemd waits for other units first, such as the network"]),
        # a start that fails is no failure where systemd starts it again
        ([AGAIN, RECOGNISES], ["it has ended with exit code 1; systemd starts it again"]),
        (
            [{"active": "activating", "sub": "start", "job": "77", "status": "opening: door/camera"}, {}, RECOGNISES],
            ["opening: door/camera"],
        ),
        # systemd does not answer for a moment
        ([{"load": "", "active": ""}, RECOGNISES], []),
    ],
)
def test_the_wait_for_a_service_tells_what_it_waits_for(
    tmp_path: Path, states: list[dict[str, str]], said: list[str]
) -> None:
    told: list[str] = []
    assert systemd(tmp_path, *states).wait_until_it_recognises(told.append) == "recognising: 1 stream"
    assert told == said


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"active": "failed", "status": "config.yaml:3: node: is missing"}, "failed: config.yaml:3: node: is missing"),
        ({"status": "opening: door/camera"}, "active: opening: door/camera"),
        (
            {"active": "failed", "result": "exit-code", "exit_code": "78"},
            "failed: it has ended with exit code 78, its config or its bundle cannot be used",
        ),
        ({"active": "failed", "result": "protocol"}, "failed: it has ended before it was ready"),
        ({"active": "failed", "result": "watchdog"}, "failed: it has hung, and systemd has ended it"),
        (
            {"active": "failed", "result": "start-limit-hit"},
            "failed: it was started too often within a short time: sudo systemctl reset-failed perceptd",
        ),
        (AGAIN | {"restarts": "3"}, "activating: it has ended with exit code 1"),
        # somebody has stopped it meanwhile, or canceled its start
        ({"active": "inactive"}, "inactive"),
    ],
)
def test_a_service_that_does_not_recognise_says_why(tmp_path: Path, state: dict[str, str], message: str) -> None:
    service = systemd(tmp_path, state)
    with pytest.raises(Refused) as refusal:
        service.wait_until_it_recognises(print, timeout_s=0)
    assert str(refusal.value) == f"the service is {message}"


def test_a_start_that_does_not_end_says_what_it_waits_for(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        systemd(tmp_path, WAITS).wait_until_it_runs(print, timeout_s=0)
    assert str(refusal.value) == "the service is inactive: systemd waits for other units first, such as the network"


def test_the_last_lines_of_the_log_have_no_password(tmp_path: Path) -> None:
    lines = systemd(tmp_path).last_log()
    assert len(lines) == 5 and "hunter2" not in str(lines) and "rtsp://" in lines[0]
    assert Systemd("missing", tmp_path, "missing").last_log() == []
