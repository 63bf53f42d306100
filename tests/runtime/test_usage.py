"""What is delivered and not used is named: by a table of counters, and by properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Counters, Modality
from daemon.core.timing import NS_PER_S
from daemon.runtime.liveness import Complaint
from daemon.runtime.usage import AFTER_CAPTURE, BEFORE_CAPTURE, Snapshot, UsageJudge, use_between

WINDOW_S = 2.5
LOOK_S = 0.25


class Sense:
    """One sense and its judge. `pass_time` adds counts at a steady rate, and looks four times a second."""

    def __init__(self, modality: Modality = "image", *, has_fps: bool = True, is_short: bool = False) -> None:
        self.counters = Counters()
        self.judge = UsageJudge(modality, round(WINDOW_S * NS_PER_S), has_fps=has_fps)
        self.is_short = is_short
        self.now_s = 1000.0
        self.told: list[Complaint | None] = []

    def pass_time(self, seconds: float, *, captured: float = 0, encoded: float = 0, **dropped: float) -> str | None:
        """Let time pass with so many counts a second. Return the complaint at its end."""
        counts = {"captured": captured, "encoded": encoded, **dropped}
        done = dict.fromkeys(counts, 0)
        for look in range(1, round(seconds / LOOK_S) + 1):
            for name, rate in counts.items():
                added = round(rate * look * LOOK_S) - done[name]
                done[name] += added
                if name in ("captured", "encoded", "put_off_ns", "left_out"):
                    setattr(self.counters, name, getattr(self.counters, name) + added)
                else:
                    self.counters.drop(name, added)
            self.now_s += LOOK_S
            self.look()
        return None if self.told[-1] is None else self.told[-1].reason

    def look(self) -> None:
        found = self.judge.look(self.counters, round(self.now_s * NS_PER_S), lambda: self.is_short)
        if not self.told or self.told[-1] != found:
            self.told.append(found)


OVERLOADED = "too late to be used: the machine is overloaded"


@pytest.mark.parametrize(
    ("modality", "rates", "is_short", "expected"),
    [
        ("image", {"captured": 30, "encoded": 30}, False, None),
        ("image", {"captured": 30, "encoded": 16, "busy": 14}, False, None),
        ("image", {"captured": 30, "gate_closed": 30}, False, None),
        ("image", {"captured": 30, "paused": 30, "closed": 30, "bundle": 30, "stopped": 30}, False, None),
        ("image", {"captured": 36, "encoded": 12, "busy": 24}, False,
         f"67 % of the pictures come {OVERLOADED}; set camera.fps to 12 or less, "
         "or use gates.motion, an accelerator or a smaller model"),
        ("image", {"captured": 2, "encoded": 0.4, "busy": 1.6}, False,
         f"80 % of the pictures come {OVERLOADED}; set camera.fps to 0.4 or less, "
         "or use gates.motion, an accelerator or a smaller model"),
        ("audio", {"captured": 52, "encoded": 4, "busy": 16}, False,
         f"80 % of the sound comes {OVERLOADED}; use gates.sound, an accelerator or a smaller model"),
        ("image", {"captured": 100, "encoded": 100, "late": 84}, True,
         f"84 % of the pictures come {OVERLOADED}; set camera.fps to 16 or less, "
         "or use gates.motion, an accelerator or a smaller model"),
        ("image", {"captured": 100, "encoded": 100, "late": 84}, False,
         "84 % of the pictures come too late to be used, although the encoder is quick: "
         "the source gives wrong times, or its network is slow"),
        ("image", {"captured": 8, "encoded": 8, "late": 4, "behind": 32}, True,
         f"90 % of the pictures come {OVERLOADED}; "
         "lower the frame rate or the size of the pictures in the camera's own settings"),
        ("image", {"captured": 4, "encoded": 4, "late": 4, "behind": 16}, False,
         "100 % of the pictures come too late to be used, although the encoder is quick: "
         "the source gives wrong times, or its network is slow"),
        ("image", {"captured": 10, "gate_closed": 10, "late": 2}, False,  # repeated behind a closed gate
         "100 % of the pictures come too late to be used, although the encoder is quick: "
         "the source gives wrong times, or its network is slow"),
        ("image", {"no_time": 25}, False,
         "100 % of the pictures have no time and cannot be used: "
         "change the encoding in the camera's settings, or convert the file"),
        ("audio", {"captured": 16, "encoded": 4, "no_time": 24}, False,
         "60 % of the sound has no time and cannot be used: "
         "change the encoding in the camera's settings, or convert the file"),
        ("image", {"captured": 12, "encoded": 12, "out_of_order": 24}, False,
         "67 % of the pictures have a time before that of an earlier one and cannot be used: convert the file"),
        ("image", {"captured": 4, "encoded": 4, "corrupt": 20}, False,
         "83 % of the pictures are damaged and cannot be used: a cable, a network or a file loses data"),
        # one in eight is damaged, and `fps` leaves out most of the others
        ("image", {"captured": 2, "encoded": 2, "left_out": 20, "corrupt": 3}, False, None),
        ("image", {"captured": 4, "encoded": 4, "left_out": 4, "corrupt": 24}, False,
         "75 % of the pictures are damaged and cannot be used: a cable, a network or a file loses data"),
        ("audio", {"captured": 8, "encoded": 4, "overflow": 32}, False,
         "80 % of the sound is lost between the device and the daemon: the machine is overloaded; "
         "use gates.sound, an accelerator or a smaller model"),
        # `fps` leaves out 28 of 30 pictures, and two of the thirty are damaged
        ("image", {"captured": 2, "encoded": 2, "left_out": 28, "corrupt": 4}, False, None),
        ("image", {"captured": 2, "encoded": 2, "left_out": 8, "corrupt": 20}, False,
         "66 % of the pictures are damaged and cannot be used: a cable, a network or a file loses data"),
        ("image", {"captured": 30, "encoder_failed": 30}, False,
         "100 % of the pictures cannot be encoded: the log has the error"),
        ("image", {"captured": 24, "encoded": 12, "busy": 8, "corrupt": 16}, False,
         # each drops 40 %, and together they drop more than half
         "64 % of the pictures are damaged and cannot be used: a cable, a network or a file loses data"),
        ("image", {"captured": 30, "encoded": 30, "put_off_ns": 0.52 * NS_PER_S}, False,
         "the file is played at 48 % of its pace: the machine is overloaded; "
         "use gates.motion, an accelerator or a smaller model"),
        ("image", {"captured": 30, "encoded": 30, "put_off_ns": 0.08 * NS_PER_S}, False, None),
    ],
)  # fmt: skip
def test_the_complaint_names_the_share_the_reason_and_what_helps(
    modality: Modality, rates: dict[str, float], is_short: bool, expected: str | None
) -> None:
    sense = Sense(modality, has_fps=modality == "image", is_short=is_short)
    assert sense.pass_time(10, **rates) == expected
    assert len(sense.told) <= 2, "it is told once"


class Several(Sense):
    """A sense of two encoders, `scene` and `people`: each look adds to the counts of each."""

    def pass_both(self, seconds: float, *, captured: float, **encoders: dict[str, float]) -> str | None:
        """Let time pass with so many counts a second, of the sense and of each encoder. Return the complaint."""
        for name in encoders:
            self.counters.encoders.setdefault(name, Counters())
        for look in range(round(seconds / LOOK_S)):
            self.counters.captured += _added(captured, look)
            for name, rates in encoders.items():
                each = self.counters.encoders[name]
                for reason, rate in rates.items():
                    if reason == "encoded":
                        each.encoded += _added(rate, look)
                    else:
                        each.drop(reason, _added(rate, look))
            self.now_s += LOOK_S
            self.look()
        return None if self.told[-1] is None else self.told[-1].reason


def _added(rate: float, look: int) -> int:
    """Return by how much a count grows in a look, at a rate a second."""
    return round(rate * (look + 1) * LOOK_S) - round(rate * look * LOOK_S)


KEEPS_UP: dict[str, float] = {"encoded": 30}
SLOW: dict[str, float] = {"encoded": 4, "busy": 16}


@pytest.mark.parametrize(
    ("scene", "people", "expected"),
    [
        # an encoder takes two pictures a second of thirty, as its rate says
        (KEEPS_UP, {"encoded": 2}, None),
        ({"encoded": 2}, {"encoded": 2}, None),
        (KEEPS_UP, SLOW, f"80 % of the pictures for the encoder people come {OVERLOADED}; "
         "set camera.fps to 4 or less, or use gates.motion, an accelerator or a smaller model"),
        (SLOW, {"encoded": 2}, f"80 % of the pictures for the encoder scene come {OVERLOADED}; "
         "set camera.fps to 4 or less, or use gates.motion, an accelerator or a smaller model"),
        (KEEPS_UP, {"encoder_failed": 2}, "100 % of the pictures for the encoder people cannot be encoded: "
         "the log has the error"),
        (KEEPS_UP | {"gate_closed": 300}, {"encoded": 0.5, "gate_closed": 300}, None),
    ],
)  # fmt: skip
def test_each_of_several_encoders_is_judged_and_told_by_name(
    scene: dict[str, float], people: dict[str, float], expected: str | None
) -> None:
    sense = Several()
    assert sense.pass_both(10, captured=30, scene=scene, people=people) == expected
    assert len(sense.told) <= 2, "it is told once"


def test_what_is_lost_before_it_is_captured_is_told_of_no_encoder() -> None:
    sense = Several()
    sense.pass_both(1, captured=30, scene=KEEPS_UP, people={"encoded": 2})
    for _ in range(40):
        sense.counters.drop("corrupt", 20)
        told = sense.pass_both(LOOK_S, captured=40, scene={"encoded": 40}, people={"encoded": 8})
    assert told is not None
    assert told.startswith("67 % of the pictures are damaged")


def test_the_complaint_stays_with_its_encoder_until_another_is_the_only_bad_one() -> None:
    sense = Several()
    slow, slower = {"encoded": 4, "busy": 16}, {"encoded": 1, "busy": 19}
    told = [
        sense.pass_both(6, captured=30, scene=KEEPS_UP, people=slow),
        sense.pass_both(6, captured=30, scene=slower, people=slow),
        sense.pass_both(6, captured=30, scene=slower, people={"encoded": 2}),
        sense.pass_both(6, captured=30, scene=KEEPS_UP, people={"encoded": 2}),
    ]
    named = [None if text is None else next(name for name in ("scene", "people") if name in text) for text in told]
    assert named == ["people", "people", "scene", None]


def test_a_bundle_with_one_encoder_again_is_judged_by_the_counters_of_the_sense() -> None:
    sense = Several()
    assert sense.pass_both(10, captured=30, scene=SLOW, people={"encoded": 2}) is not None
    told = sense.pass_time(10, captured=30, encoded=30)
    assert told is None


def test_it_begins_after_the_window_and_ends_when_most_is_used_again() -> None:
    sense = Sense()
    assert sense.pass_time(4, captured=30, encoded=30) is None
    assert sense.pass_time(WINDOW_S - LOOK_S, captured=30, encoded=10, busy=20) is None
    assert sense.pass_time(3 * LOOK_S, captured=30, encoded=10, busy=20) is not None
    assert sense.pass_time(60, captured=30, encoded=10 + 6, busy=20 - 6) is not None, "it does not come and go"
    assert sense.pass_time(2 * WINDOW_S, captured=30, encoded=25, busy=5) is None
    assert len(sense.told) == 3


def test_a_load_that_comes_and_goes_is_told_a_few_times() -> None:
    sense = Sense()
    for _ in range(360):  # an hour
        sense.pass_time(5, captured=30, encoded=10, busy=20)
        sense.pass_time(5, captured=30, encoded=30)
    assert len(sense.told) <= 12
    assert sense.pass_time(65, captured=30, encoded=30) is None
    sense.pass_time(120, captured=30, encoded=30)
    assert sense.pass_time(5, captured=30, encoded=10, busy=20) is not None
    assert sense.pass_time(5, captured=30, encoded=30) is None, "after a quiet time it ends as quickly as at first"


def test_another_reason_is_told_again() -> None:
    sense = Sense()
    assert "overloaded" in (sense.pass_time(5, captured=30, encoded=10, busy=20) or "")
    assert "no time" in (sense.pass_time(5, no_time=30) or "")


def test_a_single_picture_proves_nothing() -> None:
    assert Sense().pass_time(10, corrupt=0.2) is None


@pytest.mark.parametrize("pause_s", [0.5, 2, 20])
def test_a_single_pause_of_a_file_proves_nothing(pause_s: float) -> None:
    sense = Sense()
    sense.pass_time(4, captured=30, encoded=30)
    sense.counters.put_off_ns += round(pause_s * NS_PER_S)
    assert sense.pass_time(60, captured=30, encoded=30) is None
    assert sense.told == [None]


def test_pauses_that_come_again_are_told() -> None:
    sense = Sense()
    for _ in range(10):
        sense.counters.put_off_ns += NS_PER_S // 2
        sense.pass_time(2, captured=30, encoded=30)
    assert "of its pace" in (sense.told[-1].reason if sense.told[-1] else "")
    assert len(sense.told) == 2


def test_a_file_whose_pictures_are_used_again_and_come_slowly_says_so() -> None:
    sense = Sense()
    assert "damaged" in (sense.pass_time(5, captured=10, encoded=10, corrupt=20) or "")
    assert "of its pace" in (sense.pass_time(5, captured=15, encoded=15, put_off_ns=0.5 * NS_PER_S) or "")
    assert sense.pass_time(5, captured=30, encoded=30) is None


def test_an_overloaded_machine_is_no_source_with_wrong_times_because_of_some_looks() -> None:
    sense = Sense(is_short=True)
    sense.pass_time(5, captured=20, encoded=20, late=16)
    for _ in range(100):
        sense.is_short = not sense.is_short
        sense.pass_time(LOOK_S if sense.is_short else 4 * LOOK_S, captured=20, encoded=20, late=16)
    assert len(sense.told) == 2


def test_an_overloaded_machine_that_drops_pictures_now_and_plays_slowly_then_is_told_once() -> None:
    sense = Sense()
    for _ in range(20):
        sense.pass_time(4, captured=15, encoded=15, put_off_ns=0.5 * NS_PER_S)
        sense.pass_time(4, captured=30, encoded=10, busy=20)
    assert len(sense.told) == 2


@pytest.mark.parametrize("reason", ["paused", "closed", "gate_closed", "bundle"])
def test_a_pause_ends_a_complaint(reason: str) -> None:
    sense = Sense()
    assert sense.pass_time(5, captured=30, encoded=10, busy=20) is not None
    assert sense.pass_time(2 * WINDOW_S, captured=30, **{reason: 30}) is None


def test_a_suspended_program_proves_nothing() -> None:
    sense = Sense()
    sense.pass_time(4, captured=30, encoded=30)
    sense.now_s += 60
    sense.counters.drop("late", 30)
    sense.look()
    assert sense.pass_time(10, captured=30, encoded=30) is None


@pytest.mark.parametrize("notices_first", [True, False])
def test_a_file_that_was_suspended_was_not_slow(notices_first: bool) -> None:
    sense = Sense()
    sense.pass_time(4, captured=30, encoded=30)
    sense.now_s += 60
    if notices_first:  # the source's thread, before the look
        sense.counters.put_off_ns += 60 * NS_PER_S
    sense.look()
    if not notices_first:
        sense.counters.put_off_ns += 60 * NS_PER_S
    assert sense.pass_time(10, captured=30, encoded=30) is None
    assert "of its pace" in (sense.pass_time(10, captured=30, encoded=30, put_off_ns=0.5 * NS_PER_S) or "")


counts = st.fixed_dictionaries({reason: st.integers(0, 100) for reason in (*BEFORE_CAPTURE, *AFTER_CAPTURE)})


@given(st.integers(0, 100), st.integers(0, 100), counts, st.integers(0, 10**10), st.integers(0, 100))
def test_a_share_is_a_share(
    captured: int, encoded: int, dropped: dict[str, int], put_off_ns: int, left_out: int
) -> None:
    use = use_between(Snapshot(0), Snapshot(NS_PER_S, captured, encoded, put_off_ns, dropped, left_out))
    assert 0 <= use.dropped <= 1
    assert 0 <= use.put_off <= 1
    assert (use.reason is None) == (use.count == 0) == (not any(dropped.values()))
    assert use.dropped > 0 or use.count == 0
    assert use.reason is None or dropped[use.reason] > 0


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10)), max_size=200))
def test_complaints_change_at_most_once_in_a_window(looks: list[tuple[int, int, int]]) -> None:
    """So health is not published with every look."""
    sense = Sense()
    for captured, encoded, busy in looks:
        sense.counters.captured += captured
        sense.counters.encoded += encoded
        sense.counters.drop("busy", busy)
        sense.now_s += LOOK_S
        sense.look()
    assert len(sense.told) <= 2 + len(looks) * LOOK_S / WINDOW_S
