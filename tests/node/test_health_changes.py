"""When health is published: at changes that matter, at intervals, and never in a flood."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S, wall_time
from daemon.node.health import Health, SourceHealth
from daemon.node.health_changes import MAX_BURST, HealthSchedule, substance
from daemon.runtime.liveness import Expectation, Liveness
from tests.node.healths import accelerator, health, source, stream

HOUR_S, EVERY_S = 3600, 30.0
LOOK_NS = 250 * NS_PER_MS
MISSING = "camera 0: there is no /dev/video0"


def camera(found: SourceHealth, **fields: int) -> Health:
    """The health of a node whose only source this is."""
    return health(streams={"door": stream({"camera": found}, **fields)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (health(), health(published=7)),
        (camera(source("healthy")), camera(source("healthy"), recognitions=900)),
        (camera(source("healthy", "an old fault")), camera(source("healthy", "another old fault", failures=7))),
        (camera(source("backing_off", MISSING, failures=1)), camera(source("recovering", MISSING, failures=2))),
        (camera(source("stalled", "no picture for 3 s")), camera(source("backing_off", MISSING, failures=2))),
        (health(accelerators={"gpu": accelerator("failed", "it hangs")}),
         health(accelerators={"gpu": accelerator("starting", "it was killed", starts=2)})),
    ],
)  # fmt: skip
def test_counters_and_times_are_no_change_and_neither_is_a_failure_that_goes_on(before: Health, after: Health) -> None:
    assert before != after
    assert substance(before) == substance(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (health(), health("degraded")),
        (health(), health(trouble="fusion has ended")),
        (health(), health(reload_problem="line 3")),
        (health(), health(bundle="digits@0.2.0")),
        (health(), health(bundle_changed="head.tflite has changed")),
        (health(), health(connected=False)),
        (health(), health(mqtt_reason="the broker refused an event")),
        (health(), health(refused=["perceptd/hall/+/text"])),
        (health(), health(outbox_trouble="the disk is full")),
        (health(), health(teaching_problem="the disk is full")),
        (health(), health(metrics_problem="the address is in use")),
        (health(), health(state_problem="set aside: switches.json.version-2")),
        (camera(source("recovering")), camera(source("healthy"))),
        (camera(source("recovering")), camera(source("backing_off", MISSING, failures=1))),
        (camera(source("backing_off", MISSING, failures=1)), camera(source("healthy", MISSING, failures=1))),
        (camera(source("healthy")), camera(source("degraded", "black"))),
        (camera(source("degraded", "black")), camera(source("degraded", "it does not change"))),
        (camera(source("healthy")), camera(source("healthy"), paused=True)),
        (camera(source("healthy")), camera(source("healthy"), camera=False)),
        (health(accelerators={"gpu": accelerator("starting")}), health(accelerators={"gpu": accelerator("in_use")})),
        (health(accelerators={"gpu": accelerator("in_use")}),
         health(accelerators={"gpu": accelerator("failed", "it hangs")})),
    ],
)  # fmt: skip
def test_states_reasons_devices_and_the_connection_are_changes(before: Health, after: Health) -> None:
    assert substance(before) != substance(after)


def published(healths: Callable[[int], Health], duration_s: float = HOUR_S) -> list[Health]:
    """The messages of a node that looks at its health four times a second, from a start at an odd instant."""
    schedule, start_ns = HealthSchedule(EVERY_S), 123_456_789
    messages = []
    for now_ns in range(start_ns, start_ns + round(duration_s * NS_PER_S), LOOK_NS):
        found = healths(now_ns)
        if schedule.is_due(found, now_ns):
            messages.append(found)
    return messages


class Camera:
    """A camera under the real state machine, which is looked at four times a second and opened every half second."""

    def __init__(self, fault: str | None, *, delivers: bool = False) -> None:
        """It fails with `fault` when it is opened; None: it stays open without a picture. It may deliver once first."""
        self._fault, self._delivers = fault, delivers
        self._liveness = Liveness(Expectation(frozenset({"image"}), 3 * NS_PER_S, 10 * NS_PER_S), 0)
        self._opened_ns: int | None = None

    def __call__(self, now_ns: int) -> Health:
        liveness = self._liveness
        if liveness.status.state == "backing_off" or self._opened_ns is None:
            liveness.on_opening(now_ns)
            self._opened_ns = now_ns
            if self._delivers:
                liveness.on_delivery("image", None, now_ns)
        elif self._fault is not None or liveness.check(now_ns):
            liveness.on_return(self._fault or "closed", now_ns)
        status = liveness.status
        found = source(status.state, status.reason, failures=status.failures, since=wall_time(status.since_ns))
        return camera(found, recognitions=now_ns // LOOK_NS)


@pytest.mark.parametrize("fault", [MISSING, None])
def test_a_missing_or_silent_camera_causes_at_most_130_messages_an_hour(fault: str | None) -> None:
    first_fault_s = 11  # the time for the first picture
    messages = published(Camera(fault))
    assert HOUR_S / EVERY_S <= len(messages) <= HOUR_S / EVERY_S + 3
    early = published(Camera(fault), first_fault_s + 1)
    assert [message.streams["door"].sources["camera"].failures > 0 for message in early][-1], (
        "the first is told at once"
    )


def test_a_camera_that_delivers_and_fails_every_half_second_causes_at_most_130_messages_an_hour() -> None:
    messages = published(Camera(MISSING, delivers=True))
    assert len(messages) <= HOUR_S / EVERY_S + MAX_BURST <= 130
    states = {message.streams["door"].sources["camera"].state for message in messages[:4]}
    assert states == {"healthy", "backing_off"}, "the first changes are told at once"


def test_a_busy_stream_causes_no_message_but_those_at_intervals() -> None:
    assert len(published(lambda now_ns: health(published=now_ns))) == HOUR_S / EVERY_S


def test_a_change_is_told_at_once_and_an_interval_begins_anew() -> None:
    ill, well = health("degraded"), health()
    looks = [(0, well), (1, well), (20, ill), (30, ill), (49.9, ill), (50, ill), (51, well)]
    schedule = HealthSchedule(EVERY_S)
    due = [schedule.is_due(found, round(at_s * NS_PER_S)) for at_s, found in looks]
    assert due == [True, False, True, False, False, True, True]


def test_while_nobody_hears_changes_only_intervals_count() -> None:
    schedule = HealthSchedule(EVERY_S)
    assert schedule.is_due(health(connected=False), 0)
    assert not any(
        schedule.is_due(health(connected=False, mqtt_reason=str(at_s)), at_s * NS_PER_S) for at_s in range(1, 29)
    )
    assert schedule.is_due(health(mqtt_reason="28"), 29 * NS_PER_S), "connected, and not held up by earlier changes"


@given(st.lists(st.integers(1, 400 * NS_PER_S), min_size=1, max_size=300))
def test_however_often_it_changes_the_messages_are_bounded(steps_ns: list[int]) -> None:
    schedule, every_ns, now_ns = HealthSchedule(EVERY_S), round(EVERY_S * NS_PER_S), 0
    at_ns: list[int] = []
    for number, step_ns in enumerate(steps_ns):
        now_ns += step_ns
        if schedule.is_due(health(mqtt_reason=str(number)), now_ns):
            at_ns.append(now_ns)
    for first, begin_ns in enumerate(at_ns):
        for count, end_ns in enumerate(at_ns[first:], 1):
            assert count <= MAX_BURST + (end_ns - begin_ns) / every_ns + 1
