"""Repeated messages of a rate-limited logger are suppressed; other messages are not."""

import logging
import re
import subprocess
import sys

import pytest

from daemon.core.logs import (
    MAX_LINE_CHARS,
    MAX_LINES,
    MAX_REMEMBERED,
    MOST_OF_KIND,
    MOST_OF_TEXT,
    QUIET_S,
    RATE_LIMITED,
    WINDOW_S,
    RememberedLog,
    RepeatFilter,
    rate_limited_logger,
)


def record(message: str) -> logging.LogRecord:
    limited = logging.LogRecord("daemon.pipeline.encode", logging.WARNING, "", 0, message, (), None)
    setattr(limited, RATE_LIMITED, True)
    return limited


def test_a_message_passes_once_and_then_with_its_number_of_repeats() -> None:
    now_s = 0.0
    repeats = RepeatFilter(lambda: now_s)
    assert [repeats.filter(record("a")) for _ in range(4)] == [True, False, False, False]
    assert repeats.filter(record("b"))
    now_s = QUIET_S
    again = record("a")
    assert repeats.filter(again)
    assert again.getMessage() == "a (3 times more since)"


def test_other_messages_always_pass() -> None:
    repeats = RepeatFilter()
    connected = logging.LogRecord("daemon.mqtt.broker.connection", logging.INFO, "", 0, "connected", (), None)
    assert all(repeats.filter(connected) for _ in range(3))


def plain(text: str, *values: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("daemon.runtime.supervisor", level, "", 0, text, values, None)


def test_what_comes_and_goes_does_not_fill_the_journal() -> None:
    """A camera that flaps for a day: another one is told all the same, and what was left out is counted."""
    now_s = 0.0
    repeats, written = RepeatFilter(lambda: now_s), []
    for second in range(86_400):
        now_s = float(second)
        for text in ("front/camera", "back/camera")[: 1 + (second % 3600 == 3599)]:
            message = plain("%s: stopped: %s", text, f"error {second}")
            if repeats.filter(message):
                written.append(message.getMessage())
    assert sum(text.startswith("front") for text in written) == 24 * MOST_OF_TEXT
    assert sum(text.startswith("back") for text in written) == 24
    assert written[MOST_OF_TEXT - 1].endswith(" (more like it are left out for an hour)")
    assert f" ({3600 - MOST_OF_TEXT} like it were left out before)" in written[MOST_OF_TEXT + 1]
    assert sum(map(len, written)) < 50_000


def test_texts_that_always_differ_are_bounded_too() -> None:
    now_s = 0.0
    repeats = RepeatFilter(lambda: now_s)
    assert sum(repeats.filter(plain("%s", f"trouble {number}")) for number in range(5000)) == MOST_OF_KIND
    assert len(repeats._texts) <= MAX_REMEMBERED
    now_s = WINDOW_S
    assert repeats.filter(plain("%s", "another trouble"))


def test_at_the_level_debug_all_is_written() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    assert all(repeats.filter(plain("turn", level=logging.DEBUG)) for _ in range(2 * MOST_OF_KIND))


def test_it_remembers_no_more_than_its_bound() -> None:
    repeats = RepeatFilter()
    for index in range(3 * MAX_REMEMBERED):
        assert repeats.filter(record(str(index)))
    assert len(repeats._written) <= MAX_REMEMBERED


def test_a_logger_is_rate_limited_by_how_it_was_made_and_not_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    limited, plain = rate_limited_logger("tests.limited"), logging.getLogger("daemon.pipeline.encode")
    with caplog.filtering(RepeatFilter()):
        for _ in range(3):
            limited.warning("frame %d is damaged", 5)
            plain.warning("connected")
            try:
                raise ValueError("odd")
            except ValueError:
                limited.exception("a job failed")
    assert caplog.messages == ["frame 5 is damaged", "connected", "a job failed", "connected", "connected"]
    assert caplog.text.count("ValueError: odd") == 1


def test_a_line_has_time_level_module_and_message() -> None:
    program = "from daemon.core.logs import *; start_logging('info'); logging.getLogger('daemon.a.b').info('%d', 7)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO daemon\.a\.b: 7\n", done.stderr)


def test_the_latest_lines_are_remembered_without_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    remembered = RememberedLog()
    logger = logging.Logger("daemon.a")
    logger.addHandler(remembered)
    for number in range(MAX_LINES + 5):
        logger.info("line %d", number)
    lines = remembered.lines()
    assert len(lines) == MAX_LINES
    assert (lines[0].number, lines[-1].text) == (6, f"line {MAX_LINES + 4}")
    assert (lines[0].level, lines[0].module) == ("info", "daemon.a")
    last = lines[-1].number
    assert remembered.lines(last) == []
    logger.warning("rtsp://me:hunter2@cam/x %s", "x" * 10_000)
    logger.warning("%d", "no number")
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        logger.exception("failed")
    opened, odd, failed = remembered.lines(last)
    assert opened.text.startswith("rtsp://***@cam/x xxx")
    assert len(opened.text) == MAX_LINE_CHARS
    assert odd.text == "%d"
    assert failed.text.startswith("failed\nTraceback")
    assert failed.text.endswith("ValueError: password=***")
    assert "line 0" in capsys.readouterr().err
