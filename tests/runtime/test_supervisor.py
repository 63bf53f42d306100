"""A source that fails is opened again; one that has reached its end is not; faults reach only the status."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import RecordingError
from daemon.core.ports import Deliver
from daemon.core.records import Captured, Counters, Line
from daemon.core.timing import NS_PER_MS, NS_PER_S, Backoff
from daemon.runtime.liveness import Complaint, Expectation
from daemon.runtime.processor import ProcessorShare
from daemon.runtime.supervisor import SupervisedSource
from daemon.runtime.usage import UsageJudge
from tests.fakes.sources import ScriptedSource
from tests.helpers.mosquitto import wait_until

LINE = Line("seven", 1)


def supervise(source: ScriptedSource) -> tuple[SupervisedSource, list[Captured], threading.Event]:
    delivered: list[Captured] = []
    ended = threading.Event()
    supervised = SupervisedSource("s/test", source, delivered.append, on_change=lambda: None, on_end=ended.set)
    supervised.start()
    return supervised, delivered, ended


def test_a_source_that_fails_is_opened_again_and_recovers() -> None:
    source = ScriptedSource(([], "no such camera"), ([LINE], RuntimeError("odd")), ([LINE, LINE], None))
    supervised, delivered, ended = supervise(source)
    wait_until(lambda: supervised.status.state == "ended", "it has ended")
    assert (source.started, supervised.status.failures, len(delivered)) == (3, 2, 3)
    assert supervised.status.reason == "RuntimeError: odd"
    assert ended.is_set()


def test_a_source_has_ended_only_after_on_end_returned() -> None:
    states: list[str] = []
    supervised = SupervisedSource(
        "s/test",
        ScriptedSource(([LINE], None)),
        lambda _: None,
        on_change=lambda: None,
        on_end=lambda: states.append(supervised.status.state),
    )
    supervised.start()
    assert supervised.join(60)
    assert (states, supervised.status.state) == (["healthy"], "ended")


def test_neither_reason_nor_log_shows_credentials(caplog: pytest.LogCaptureFixture) -> None:
    url = "rtsp://me:s3'cr/et@host/cam"
    supervised, _, _ = supervise(ScriptedSource(([], f"cannot open {url}"), ([], RuntimeError(url))))
    wait_until(lambda: supervised.status.failures == 1, "it has failed")
    assert supervised.status.reason == "cannot open rtsp://***@host/cam"
    wait_until(lambda: supervised.status.failures == 2, "it has failed again")
    supervised.request_stop()
    assert supervised.join(60)
    assert "RuntimeError: rtsp://***@host/cam" in caplog.text
    assert "s3" not in caplog.text


def test_a_source_that_cannot_resume_has_ended_when_it_fails_after_a_delivery() -> None:
    source = ScriptedSource(([], "not there yet"), ([LINE], "cut off"), ([LINE], None))
    delivered: list[Captured] = []
    ended = threading.Event()
    supervised = SupervisedSource(
        "s/test", source, delivered.append, on_change=lambda: None, on_end=ended.set, resumes=False
    )
    supervised.start()
    wait_until(lambda: supervised.status.state == "ended", "it has ended")
    assert (source.started, supervised.status.reason, len(delivered)) == (2, "cut off", 1)
    assert ended.is_set()


def test_a_damaged_recording_that_cannot_resume_has_ended_and_failed_before_it_delivers() -> None:
    source = ScriptedSource(([], "not there yet"), ([], RecordingError("cut off")), ([LINE], None))
    supervised = SupervisedSource("s/test", source, lambda _: None, on_change=lambda: None, resumes=False)
    supervised.start()
    wait_until(lambda: supervised.status.state == "ended", "it has ended")
    assert (source.started, supervised.status.reason, supervised.has_failed) == (2, "cut off", True)


def test_a_damaged_recording_in_a_loop_is_opened_again() -> None:
    source = ScriptedSource(([LINE], RecordingError("cut off")), ([LINE], RecordingError("cut off")), ([LINE], None))
    supervised, delivered, _ = supervise(source)
    wait_until(lambda: supervised.status.state == "ended", "it has ended")
    assert (source.started, supervised.status.failures, len(delivered)) == (3, 2, 3)
    assert not supervised.has_failed


def test_it_stops_while_it_waits_for_the_next_try() -> None:
    supervised, _, ended = supervise(ScriptedSource(*[([], "still down")] * 50))
    wait_until(lambda: supervised.status.state == "backing_off", "it waits")
    supervised.request_stop()
    assert supervised.join(60)
    assert supervised.status.state == "stopped"
    assert ended.is_set()


class SilentSource:
    """Implements `Source`: delivers one line, then nothing more until it is stopped."""

    drift_ppm = None

    def __init__(self) -> None:
        self.started = 0

    def run(self, deliver: Deliver, stop: threading.Event) -> None:
        self.started += 1
        deliver(LINE)
        assert stop.wait(60)


def checked(complaint: Complaint | None = None) -> tuple[SilentSource, SupervisedSource, threading.Event]:
    """Return a silent source, supervised and checked until the event is set."""
    source, done = SilentSource(), threading.Event()
    expectation = Expectation(frozenset({"text"}), stall_after_ns=50 * NS_PER_MS, opening_ns=NS_PER_S)
    supervised = SupervisedSource(
        "s/test", source, lambda _: None, on_change=lambda: None, expectation=expectation, inspect=lambda _: complaint
    )

    def check() -> None:
        while not done.wait(0.01):
            supervised.check({}, ProcessorShare())

    threading.Thread(target=check, daemon=True).start()
    supervised.start()
    return source, supervised, done


def test_a_source_that_stops_delivering_is_closed_and_opened_again() -> None:
    source, supervised, done = checked()
    wait_until(lambda: source.started == 3, "it is opened a third time")
    supervised.request_stop()
    assert supervised.join(60)
    done.set()
    status = supervised.status
    assert (status.state, status.reason) == ("stopped", "no text for 0.05 s")
    assert status.failures == status.stalls >= 2
    assert status.recoveries >= 2


def test_a_source_with_unusable_content_is_opened_again_once_and_used(caplog: pytest.LogCaptureFixture) -> None:
    source, supervised, done = checked(Complaint("nonsense", reopens=True))
    wait_until(lambda: source.started == 2, "it is opened again")
    assert supervised.status.failures == 0
    assert supervised.status.reopened == 1
    supervised.request_stop()
    assert supervised.join(60)
    done.set()
    assert "s/test: nonsense; it stays in use" in caplog.text


class Verdict(UsageJudge):
    """A judge whose complaint the test sets."""

    complaint: Complaint | None = None

    def look(self, counters: Counters, now_ns: int, is_short: Callable[[], bool]) -> Complaint | None:
        return self.complaint


def test_what_is_not_used_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    changes, judge, counters = [], Verdict("text", NS_PER_S), {"text": Counters()}
    supervised = SupervisedSource(
        "s/test", SilentSource(), lambda _: None, on_change=lambda: changes.append(1), judges={"text": judge}
    )
    supervised.start()
    wait_until(lambda: supervised.status.state == "healthy" and changes, "it delivers")
    before, judge.complaint = len(changes), Complaint("84 % is late", reopens=False)
    for _ in range(100):
        supervised.check(counters, ProcessorShare())
    assert (supervised.status.state, supervised.status.reason) == ("degraded", "84 % is late")
    judge.complaint = None
    supervised.check(counters, ProcessorShare())
    assert supervised.status.state == "healthy"
    assert len(changes) == before + 2, "health is published when it begins and when it ends"
    assert caplog.messages.count("s/test: 84 % is late; it stays in use") == 1
    supervised.request_stop()
    assert supervised.join(60)


@given(st.integers(0, 200))
def test_delays_grow_up_to_a_limit_and_are_spread(failures: int) -> None:
    backoff = Backoff(first_s=0.5, longest_s=10.0, failures=failures)
    full_s = min(10.0, 0.5 * 2.0**failures)
    assert full_s / 2 <= backoff.next_s() <= full_s
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_a_paused_source_is_closed_until_it_is_resumed() -> None:
    source = ScriptedSource()
    supervised, _, ended = supervise(source)
    wait_until(lambda: source.started == 1, "opened")
    for times in (2, 3):
        supervised.pause()
        wait_until(lambda: supervised.status.state == "paused", "closed")
        assert (source.started, supervised.status.reason, supervised.status.failures) == (times - 1, None, 0)
        supervised.check({}, ProcessorShare())
        supervised.resume()
        wait_until(lambda times=times: source.started == times, "opened again")
    supervised.pause()
    wait_until(lambda: supervised.status.state == "paused", "closed")
    assert not ended.is_set()
    supervised.request_stop()
    assert supervised.join(60)
    assert supervised.status.state == "stopped"


def test_a_source_that_is_paused_before_it_starts_is_never_opened() -> None:
    source = ScriptedSource()
    supervised = SupervisedSource("s/test", source, lambda _: None, on_change=lambda: None)
    supervised.pause()
    supervised.start()
    wait_until(lambda: supervised.status.state == "paused", "it waits")
    assert source.started == 0
    supervised.resume()
    wait_until(lambda: source.started == 1, "opened")
    supervised.request_stop()
    assert supervised.join(60)


def test_pausing_a_failing_source_clears_its_reason() -> None:
    source = ScriptedSource(*[([], "no such camera")] * 50)
    supervised, _, _ = supervise(source)
    wait_until(lambda: supervised.status.failures >= 1, "it has failed")
    supervised.pause()
    wait_until(lambda: supervised.status.state == "paused", "it waits")
    assert supervised.status.reason is None
    supervised.request_stop()
    assert supervised.join(60)


def test_a_paused_source_says_what_it_waits_for_as_long_as_it_does() -> None:
    supervised, _, _ = supervise(ScriptedSource())
    for reason in ("another camera is closed", None, "it is closed again"):
        supervised.pause(reason)
        wait_until(lambda reason=reason: (supervised.status.state, supervised.status.reason) == ("paused", reason), "")
    supervised.resume()
    wait_until(lambda: supervised.status.state == "recovering", "opened again")
    supervised.request_stop()
    assert supervised.join(60)


class SlowToClose:
    """A source that takes its time to return when it is closed."""

    def __init__(self) -> None:
        self.started = 0
        self.drift_ppm: float | None = None

    def run(self, _deliver: Deliver, stop: threading.Event) -> None:
        self.started += 1
        stop.wait()
        threading.Event().wait(0.2)


def test_a_source_that_is_resumed_before_it_has_closed_is_opened_again() -> None:
    source = SlowToClose()
    supervised = SupervisedSource("s/test", source, lambda _: None, on_change=lambda: None)
    supervised.start()
    wait_until(lambda: source.started == 1, "opened")
    supervised.pause()
    supervised.resume()
    wait_until(lambda: source.started == 2, "opened again")
    assert supervised.status.state == "recovering"
    supervised.request_stop()
    assert supervised.join(60)
