"""Ctrl-C, a shutdown and a closed terminal end a setup, but never in the middle of a step."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.setup.interrupts import SIGNALS, interrupts
from daemon.setup.service import Pause
from tests.setup.test_flow import LOGIN, Course
from tests.setup.test_service import START, commands, systemd


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interrupts.handle()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_end_of_a_step_whichever_thread_gets_it(number: signal.Signals) -> None:
    ended, steps = threading.Event(), []
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt), interrupts.held():
            with interrupts.held():
                os.kill(os.getpid(), number)
                steps.append("inner")
            steps.append("outer")
    finally:
        ended.set()
        thread.join()
    assert steps == ["inner", "outer"]


def test_only_the_first_signal_ends_a_setup_so_that_its_end_is_whole() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    for number in SIGNALS:
        signal.raise_signal(number)
    with interrupts.held():
        signal.raise_signal(signal.SIGHUP)


def test_a_service_whose_stop_is_interrupted_comes_back(tmp_path: Path) -> None:
    pause = Pause(systemd(tmp_path), ran=True)
    program = tmp_path / "systemctl"
    program.write_text(program.read_text().replace('case "$1" in', 'case "$1" in stop) kill -INT $PPID ;;'))
    with pytest.raises(KeyboardInterrupt):
        pause.begin()
    pause.end(print)
    assert commands(tmp_path) == ["stop perceptd.service", *START]


def test_what_is_written_while_somebody_interrupts_counts_as_written(tmp_path: Path) -> None:
    course = _Interrupted(tmp_path, *LOGIN, "")
    with pytest.raises(KeyboardInterrupt):
        course.run()
    assert course.setup.has_written and course.config.exists()


class _Interrupted(Course):
    """A setup that is interrupted while it writes."""

    def _stamp(self) -> str:
        signal.raise_signal(signal.SIGINT)
        return super()._stamp()
