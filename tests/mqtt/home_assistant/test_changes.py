"""How often entities change in Home Assistant: its database stores each change, and its logbook shows most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.home_assistant.devices import Label
from tests.helpers.home_assistant import HomeAssistant
from tests.mqtt.home_assistant.nodes import payloads_of, state, status, step, stream

LABELS = ["dog", "cat", "7"]
SHOWN = [Label("dog", shown=True), Label("cat", shown=True), Label("7")]


class Stream:
    """Publishes the events and the state of a stream `door` of a node `hall`, as the daemon does."""

    def __init__(self, hass: HomeAssistant) -> None:
        self.hass = hass
        self.open: dict[str, tuple[int, float]] = {}
        self.presences: list[str] = []

    def step(self, label: str, score: float, *, end: bool = False) -> None:
        """Start or update the presence of a label, or end it."""
        if label not in self.open and end:
            return
        phase = "end" if end else "update" if label in self.open else "start"
        if phase == "start":
            self.presences.append(label)
        number = self.open[label][0] if label in self.open else len(self.presences)
        self.open[label] = (number, score)
        if end:
            del self.open[label]
        fields = {"score": score, "peak": score, "duration_s": 1.5 + number, "ended_by": "absent" if end else None}
        self.hass.receive("perceptd/hall/door/event", step(phase, label, number, **fields))
        strongest = max(self.open, key=lambda name: self.open[name][1], default=None)
        shown = None if strongest is None else self.open[strongest][1]
        self.hass.receive("perceptd/hall/door/state", state(strongest, shown, list(self.open)), retained=True)


def started(*labels: Label | str, per_stream: bool = True) -> HomeAssistant:
    """Return Home Assistant after a node came online, in which nothing is recognised yet."""
    hass = HomeAssistant(payloads_of(stream(labels=labels), per_stream=per_stream))
    hass.receive("perceptd/hall/availability", b"online", retained=True)
    hass.receive("perceptd/hall/status", status(), retained=True)
    hass.receive("perceptd/hall/door/state", state(), retained=True)
    hass.changes.clear()
    return hass


@pytest.mark.parametrize("per_stream", [True, False])
def test_one_presence_makes_one_event_and_three_changes_of_sensors(per_stream: bool) -> None:
    hass = started(*LABELS, per_stream=per_stream)
    door = Stream(hass)
    for score in (0.7, 0.9, 0.8, 0.95, 0.6):
        door.step("dog", score)
    door.step("dog", 0.3, end=True)
    event, label, last = (
        "event.perceptd_hall_door_event",
        "sensor.perceptd_hall_door_label",
        "sensor.perceptd_hall_door_last",
    )
    assert [(change.entity, change.state) for change in hass.changes] == [
        (event, hass.entities[event].state),
        (label, "dog"),
        (last, "2.5"),
        (label, "none"),
    ]
    assert hass.changes[0].attributes["event_type"] == "dog"
    # the label sensor tells of start and end, the event entity of the presence
    assert [change.entity for change in hass.changes if change.in_logbook] == [event, label, label]


def test_a_shown_label_adds_two_changes_of_its_binary_sensor() -> None:
    hass = started(*SHOWN)
    door = Stream(hass)
    for score in (0.7, 0.9):
        door.step("dog", score)
    door.step("dog", 0.3, end=True)
    of_label = [
        change.state for change in hass.changes if change.entity == "binary_sensor.perceptd_hall_door_label_dog"
    ]
    assert of_label == ["on", "off"]
    assert len(hass.changes) == 6


STEPS = st.lists(st.tuples(st.sampled_from(LABELS), st.floats(0, 1), st.booleans()), max_size=24)


@given(STEPS, st.booleans())
def test_a_busy_stream_makes_at_most_four_changes_per_presence(
    steps: list[tuple[str, float, bool]], per_stream: bool
) -> None:
    hass = started(*LABELS, per_stream=per_stream)
    door = Stream(hass)
    for label, score, end in steps:
        door.step(label, score, end=end)
    assert len(hass.changes) <= 4 * len(door.presences)


@given(STEPS)
def test_shown_labels_make_at_most_two_more(steps: list[tuple[str, float, bool]]) -> None:
    hass = started(*SHOWN)
    door = Stream(hass)
    for label, score, end in steps:
        door.step(label, score, end=end)
    shown = [label for label in door.presences if label != "7"]
    assert len(hass.changes) <= 4 * len(door.presences) + 2 * len(shown)


def test_an_event_that_comes_twice_is_fired_once() -> None:
    hass = started(*LABELS)
    for _ in range(2):
        hass.receive("perceptd/hall/door/event", step("start", "dog", 1))
    hass.receive("perceptd/hall/door/event", step("start", "dog", 2))
    assert [change.attributes["id"] for change in hass.changes] == [f"{number:032x}" for number in (1, 2)]


def test_what_the_last_presence_was_stays_until_the_next_one_ends() -> None:
    hass = started(*LABELS)
    door = Stream(hass)
    last = hass.entities["sensor.perceptd_hall_door_last"]
    door.step("dog", 0.9)
    assert last.seen == ("unknown", {})
    door.step("dog", 0.3, end=True)
    first = last.seen
    door.step("7", 0.9)
    door.step("7", 0.8)
    assert last.seen == first
    door.step("7", 0.2, end=True)
    assert last.attributes["label"] == "7"


def test_a_status_that_is_published_again_changes_nothing() -> None:
    hass = started(*LABELS)
    hass.receive("perceptd/hall/status", status(), retained=True)
    assert not hass.changes
