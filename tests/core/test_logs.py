"""What is said again and again is written once."""

import logging

from daemon.core.logs import MAX_REMEMBERED, QUIET_S, RepeatFilter


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("daemon.pipeline.encode", logging.WARNING, "", 0, message, (), None)


def test_a_message_passes_once_and_tells_how_often_it_was_held_back() -> None:
    now_s = 0.0
    repeats = RepeatFilter(lambda: now_s)
    assert [repeats.filter(record("a")) for _ in range(4)] == [True, False, False, False]
    assert repeats.filter(record("b"))
    now_s = QUIET_S
    again = record("a")
    assert repeats.filter(again)
    assert again.getMessage() == "a (3 times more since)"


def test_changes_are_always_told() -> None:
    repeats = RepeatFilter()
    connected = logging.LogRecord("daemon.mqtt.connection", logging.INFO, "", 0, "connected", (), None)
    assert all(repeats.filter(connected) for _ in range(3))


def test_it_remembers_no_more_than_its_bound() -> None:
    repeats = RepeatFilter()
    for index in range(3 * MAX_REMEMBERED):
        assert repeats.filter(record(str(index)))
    assert len(repeats._said) <= MAX_REMEMBERED
