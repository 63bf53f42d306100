"""A press shows what happened at its time, however late the input of its stream comes."""

import pytest

from daemon.core.timing import NS_PER_S
from daemon.mqtt.commands import Request, TeachArguments
from daemon.node.presses import Presses
from daemon.node.teaching_input import Lateness

PRESSED_NS = 1000 * NS_PER_S


def seconds(at_ns: int) -> float:
    return (at_ns - PRESSED_NS) / NS_PER_S


@pytest.mark.parametrize(
    ("ago_s", "lateness", "start_s", "end_s", "due_s"),
    [
        (0.0, Lateness(), -4, 1, 1.3),
        (7.5, Lateness(), -11.5, -6.5, -6.2),
        (0.0, Lateness(late_ns=2 * NS_PER_S), -4, 1, 3.3),  # a camera with an offset of two seconds
        (0.0, Lateness(late_ns=90 * NS_PER_S), -4, 1, 7.3),  # what was held up is not waited for
        (0.0, Lateness(moved_ns=12 * NS_PER_S), 8, 13, 13.3),  # HLS is recognised when it is played
    ],
)
def test_what_a_press_shows_and_when_it_is_there(
    ago_s: float, lateness: Lateness, start_s: float, end_s: float, due_s: float
) -> None:
    presses = Presses()
    press = presses.add(
        Request("teach", b"{}"), TeachArguments(label="kettle", ago_s=ago_s), "kettle", "hall", PRESSED_NS, lateness
    )
    assert (seconds(press.start_ns), seconds(press.end_ns), seconds(press.due_ns)) == (start_s, end_s, due_s)
    assert presses.due(press.due_ns - 1) == []
    assert presses.due(press.due_ns) == [press]
    assert presses.due(press.due_ns) == []


@pytest.mark.parametrize(
    ("label", "stream", "later_s", "examples", "expected"),
    [
        ("kettle", "hall", 1.0, {"x"}, True),
        ("kettle", "hall", 2.4, {"x"}, True),
        ("kettle", "hall", 2.6, {"x"}, False),
        ("kettle", "hall", 1.0, set(), False),  # it was removed
        ("door", "hall", 1.0, {"x"}, False),
        ("kettle", "yard", 1.0, {"x"}, False),
    ],
)
def test_a_press_shows_the_same_as_another_where_they_share_most_of_their_time(
    label: str, stream: str, later_s: float, examples: set[str], expected: bool
) -> None:
    presses, arguments = Presses(), TeachArguments(label="kettle")
    request = Request("teach", b"{}")
    presses.note_stored(presses.add(request, arguments, "kettle", "hall", PRESSED_NS, Lateness()), "x")
    later = presses.add(request, arguments, label, stream, PRESSED_NS + round(later_s * NS_PER_S), Lateness())
    assert presses.overlaps(later, examples) is expected
