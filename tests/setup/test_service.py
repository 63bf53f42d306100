"""How systemd is asked, by a systemctl that says what a test wants."""

from pathlib import Path

import pytest

from daemon.core.errors import Refused
from daemon.setup.service import Pause, Systemd

SCRIPT = """#!/bin/sh
echo "$@" >>{log}
case "$*" in
  "show --property LoadState"*) echo {load} ;;
  "show --property ActiveState"*) echo {active} ;;
  "show --property StatusText"*) echo "{status}" ;;
  "restart"*) echo "Job failed" >&2; exit {restart} ;;
esac
"""


def systemd(
    directory: Path, *, load: str = "loaded", active: str = "active", status: str = "", restart: int = 0
) -> Systemd:
    program = directory / "systemctl"
    program.write_text(SCRIPT.format(log=directory / "log", load=load, active=active, status=status, restart=restart))
    program.chmod(0o755)
    return Systemd(str(program), directory)


@pytest.mark.parametrize(("load", "has_unit"), [("loaded", True), ("not-found", False), ("masked", False)])
def test_a_unit_is_there_where_systemd_has_loaded_it(tmp_path: Path, load: str, *, has_unit: bool) -> None:
    assert systemd(tmp_path, load=load).has_unit() is has_unit


def test_without_systemd_there_is_no_unit(tmp_path: Path) -> None:
    systemd(tmp_path)
    assert not Systemd(str(tmp_path / "systemctl"), tmp_path / "missing").has_unit()
    assert not Systemd(str(tmp_path / "missing"), tmp_path).has_unit()


@pytest.mark.parametrize(("enables", "commands"), [(True, "enable restart"), (False, "restart")])
def test_a_start_is_a_restart_and_enabled_where_that_is_wanted(tmp_path: Path, commands: str, *, enables: bool) -> None:
    systemd(tmp_path).start(enables=enables)
    assert (tmp_path / "log").read_text().split() == [
        word for command in commands.split() for word in (command, "perceptd.service")
    ]


def test_a_start_that_fails_says_what_systemctl_says(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"systemctl restart perceptd\.service failed: Job failed"):
        systemd(tmp_path, restart=1).start(enables=False)


def test_a_pause_ends_once_and_only_where_it_began(tmp_path: Path) -> None:
    idle, paused, taken = (Pause(systemd(tmp_path), ran=ran) for ran in (False, True, True))
    assert not idle.begin()
    idle.end()
    assert (paused.begin(), paused.begin(), taken.begin()) == (True, False, True)
    taken.forget()
    for each in (taken, paused, paused):
        each.end()
    assert (tmp_path / "log").read_text().split("\n") == [
        "stop perceptd.service",
        "stop perceptd.service",
        "restart perceptd.service",
        "",
    ]


def test_a_service_recognises_when_its_status_says_so(tmp_path: Path) -> None:
    assert systemd(tmp_path, status="recognising: 1 stream").wait_until_it_recognises() == "recognising: 1 stream"


@pytest.mark.parametrize(
    ("active", "status", "message"),
    [
        ("failed", "config.yaml:3: node: is missing", "the service is failed: config.yaml:3: node: is missing"),
        ("active", "loading the bundle", "the service is active: loading the bundle"),
    ],
)
def test_a_service_that_does_not_recognise_in_time_says_its_status(
    tmp_path: Path, active: str, status: str, message: str
) -> None:
    with pytest.raises(Refused) as refusal:
        systemd(tmp_path, active=active, status=status).wait_until_it_recognises(timeout_s=0)
    assert str(refusal.value) == message
