"""The check of a config and doctor, in child processes that are asked for on the local socket."""

import threading
from collections.abc import Callable

import pytest

from daemon.config.command_line import ConfigOptions
from daemon.core.errors import LocalError
from daemon.core.logs import RememberedLog
from daemon.node.local_children import LocalChildren
from daemon.node.local_host import LocalHost
from daemon.node.local_socket import LocalSocket
from tests.node.local_children import echo_text, fail, hang, print_nonsense, report

STOP = threading.Event()


def children(doctor: Callable[[str], None]) -> LocalChildren:
    return LocalChildren(LocalHost(LocalSocket(), RememberedLog(), ConfigOptions("a.yaml"), echo_text, doctor))


def test_a_child_gets_the_text_and_the_config() -> None:
    made = children(report)
    assert made.check("node: Tür", STOP) == [{"line": 1, "text": "node: Tür", "options": "a.yaml"}]
    assert made.doctor(STOP) == {"config": "a.yaml"}


@pytest.mark.parametrize(
    ("doctor", "reason"),
    [(fail, "a run of doctor failed: no such camera"), (print_nonsense, "a run of doctor failed: Expecting value")],
)
def test_a_child_that_fails_is_told(doctor: Callable[[str], None], reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        children(doctor).doctor(STOP)


def test_one_runs_at_a_time_and_ends_with_the_daemon() -> None:
    made, stop, ended = children(hang), threading.Event(), list[str]()
    thread = threading.Thread(target=run, args=(made, stop, ended))
    thread.start()
    while True:  # until the other thread has its turn
        probe = threading.Event()
        probe.set()
        try:
            made.doctor(probe)
        except LocalError as error:
            if "under way" in str(error):
                break
    stop.set()
    thread.join()
    assert ended == ["the daemon is stopping"]


def run(made: LocalChildren, stop: threading.Event, ended: list[str]) -> None:
    while not ended or "under way" in ended[-1]:
        ended.clear()
        try:
            made.doctor(stop)
        except LocalError as error:
            ended.append(str(error))
