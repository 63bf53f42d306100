"""What the thread `teaching` does with presses, corrections, background and fits: on a real store, without a thread."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.core.timing import NS_PER_S, clock_text
from daemon.mqtt.commands import Request, parse_arguments
from daemon.node.fit_ports import Outcome
from daemon.node.fits import INSTALL_NS, QUIET_NS
from daemon.node.presses import MAX_WAITING
from daemon.node.teaching_commands import moment_text
from daemon.node.teaching_inbox import TeachingCommand
from daemon.node.teaching_state import LabelFacts, TeachingFacts, teaching_payload
from daemon.node.teaching_work import RECOUNT_NS
from daemon.teaching.gathering import FIRST_NS
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment, Example, Question, StoredMoment
from daemon.teaching.store import TeachingStore
from tests.fakes.teaching_input import ENCODERS, FakeInput
from tests.helpers.classroom import PRESS_NS, TIME, VECTORS, Class, peak


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Class]:
    node = Class(tmp_path)
    yield node
    node.work.close([], node.now_ns)


def test_a_press_is_answered_once_its_last_second_is_on_disk(node: Class) -> None:
    assert node.send("teach", label="kettle boils", seconds=3, ago_s=0.5) is None
    node.after(NS_PER_S // 2)
    assert not node.answers
    node.after(NS_PER_S // 2)
    (answer,) = node.answers
    assert (answer.ok, answer.reason) == (True, None)
    assert node.live.windows[-1] == ("kitchen", 3.0)
    (stored,) = node.store.examples()
    assert answer.result == {
        "example": stored.id,
        "label": "kettle boils",
        "moments": 2,
        "senses": ["audio", "image"],
        "left_out": [],
    }
    assert (stored.origin, stored.has_picture, stored.has_sound) == ("press", True, True)
    assert node.store.example(stored.id).encoders == ENCODERS
    assert node.press("kettle boils", everywhere=True).ok
    assert node.store.everywhere() == {"kettle boils"}
    node.send("teach_missed")
    assert node.answers[-1].reason == "label: is missing, and no command teach_label has set it"
    assert node.send("teach_label", label="kettle boils").ok
    node.send("teach_missed")
    node.after(PRESS_NS)
    assert node.store.examples()[-1].origin == "missed"
    assert node.after().next_label == "kettle boils"


def test_pictures_and_sounds_are_not_kept_where_the_config_forbids_it(tmp_path: Path) -> None:
    node = Class(tmp_path, pictures=False, sounds=False)
    assert node.press().result["senses"] == ["audio", "image"]
    (stored,) = node.store.examples()
    assert (stored.has_picture, stored.has_sound) == (False, False)


def test_a_press_is_refused_in_words(tmp_path: Path) -> None:
    node = Class(tmp_path, FakeInput("kitchen", "yard"))
    for arguments, reason in (
        ({"label": "kettle boils"}, "stream: is missing; there are kitchen, yard"),
        ({"label": "kettle boils", "stream": "attic"}, "no live stream 'attic'; there are kitchen, yard"),
        ({"label": "speech", "stream": "yard"}, "speech is a label of home already; teach it under another name"),
    ):
        assert node.send("teach", **arguments).reason == reason
    node.live.paused.add("yard")
    assert node.press(stream="yard").reason == "stream yard is paused"
    node.live.is_silent = True
    assert "silent" in node.press(stream="kitchen").reason
    node.live.is_silent, node.live.is_slow = False, True
    assert node.press(stream="kitchen").reason == "the encoders have not finished in time"
    node.live.is_slow = False
    assert node.press(stream="kitchen").ok
    node.live.is_same = True
    assert "nearly the same" in node.press(stream="kitchen").reason
    assert len(node.store.examples()) == 1


def test_of_many_presses_some_wait_and_the_others_are_refused(node: Class) -> None:
    for _ in range(1000):
        node.send("teach", label="kettle boils")
    assert len(node.answers) == 1000 - MAX_WAITING
    assert {answer.reason for answer in node.answers} == {"busy: 8 presses wait already; send it again later"}
    node.after(PRESS_NS)
    assert len(node.store.examples()) == MAX_WAITING


def test_what_waits_is_refused_at_a_stop_and_peaks_of_the_last_events_are_kept(node: Class) -> None:
    node.send("teach", label="kettle boils")
    node.live.ended.append(peak())
    request = Request("teach_list", b"{}")
    node.work.close([TeachingCommand(request, parse_arguments(request), 0)], node.now_ns)
    assert [answer.reason for answer in node.answers] == ["the daemon is stopping"] * 2
    assert node.counters.dropped == {"stopping": 2}
    assert node.store.peak("e1") is not None


def test_a_place_is_learnt_then_a_label_is_fitted_and_becomes_ready(node: Class) -> None:
    assert node.after().places == {"kitchen": 0}
    assert node.text() == "learning this place: 0 of 30, about 5 minutes more"
    node.press()
    node.learn_place(12)
    node.after(QUIET_NS)
    assert node.text() == "learning this place: 12 of 30, about 3 minutes more"
    (label,) = teaching_payload(node.work.facts, TIME).labels
    assert (label.state, label.text) == (
        "learning_place",
        "1 press, learning this place: 12 of 30, about 3 minutes more",
    )
    assert not node.runner.fits
    node.learn_place(NEEDED_BACKGROUND - 12)
    node.after()
    node.after(QUIET_NS)
    assert node.text() == "kettle boils: 1 press, being fitted"
    node.runner.fits[0].end("kettle boils")
    node.after()
    assert node.text() == "kettle boils: 1 press, is being tried"
    node.installer.outcomes["home@1.0.0+taught.1"] = Outcome("active")
    node.live.switch("kettle boils", id="home@1.0.0+taught.1", number=1)
    node.after()
    assert node.text() == "kettle boils: 1 press, ready, heard in 5 of 5"
    (label,) = teaching_payload(node.work.facts, TIME).labels
    assert (label.state, label.found, label.tried) == ("ready", 5, 5)


@pytest.mark.parametrize(
    ("count", "text_alone", "text"),
    [
        (2, frozenset(), "learning this place: 2 of 30, about 5 minutes more"),
        (24, frozenset(), "learning this place: 24 of 30, about 1 minute more"),
        (29, frozenset(), "learning this place: 29 of 30, about 1 minute more"),
        (29, {"kitchen"}, "learning this place: 29 of 30"),
    ],
)
def test_a_place_that_is_learnt_says_how_long_it_takes_unless_it_is_one_of_lines(
    count: int, text_alone: frozenset[str], text: str
) -> None:
    label = LabelFacts("kettle boils", frozenset({"kitchen"}), everywhere=False, presses=5, wrong=0)
    facts = TeachingFacts(
        "n", "home@1.0.0", places={"kitchen": count, "attic": 0}, text_alone=frozenset(text_alone), labels=[label]
    )
    payload = teaching_payload(facts, TIME)
    assert (payload.text, payload.labels[0].text) == (text, f"5 presses, {text}")


def test_a_fit_finds_on_the_disk_all_the_background_that_it_was_begun_for(node: Class) -> None:
    node.press()
    for _ in range(2 * NEEDED_BACKGROUND):
        if not node.runner.fits:
            node.live.newest = node.now_ns + FIRST_NS
            node.after(FIRST_NS)
    assert len(node.runner.fits) == 1
    assert node.store.background_counts(ENCODERS) == {"kitchen": NEEDED_BACKGROUND}


def test_a_state_needs_no_background(node: Class) -> None:
    node.press("garage: open")
    node.after(QUIET_NS)
    assert len(node.runner.fits) == 1
    (label,) = teaching_payload(node.work.facts, TIME).labels
    assert (label.state_of, label.state) == ("garage", "fitting")
    assert node.text() == "garage: open: 1 press, being fitted"


def test_the_last_label_that_is_forgotten_brings_the_base_back(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    assert node.send("teach_forget", label="tap").reason == "no taught label 'tap'; there are kettle boils"
    assert node.send("teach_forget", label="kettle boils").ok
    node.after()
    node.after(QUIET_NS)
    assert node.installer.removals == 1


def test_a_label_that_the_bundle_was_published_with_belongs_to_it(node: Class) -> None:
    node.press("kettle boils")
    node.live.fix("kettle boils", groups=("garage",))
    node.live.peaks = [peak("open", "kettle boils")]
    for command in ("teach", "teach_label"):
        reason = node.send(command, label="kettle boils").reason
        assert reason == "kettle boils is a label of home already; teach it under another name"
        reason = node.send(command, label="garage: half").reason
        assert reason == "garage is a group of states of home already; teach it under another name"
    assert node.send("teach_wrong").reason.startswith("no event of a taught label is known")
    reason = node.send("teach_wrong", event="open").reason
    assert reason == "kettle boils is a label of home: it cannot be unlearnt"
    assert node.send("teach_forget", label="speech").reason == "speech is a label of home: it was not taught here"
    facts = node.after(10**11)
    assert node.runner.fits == [], "nothing is left to fit"
    label = teaching_payload(facts, TIME).labels[0]
    assert (label.state, label.text) == ("problem", "1 press, not used: kettle boils is a label of home already")


def test_a_wrong_event_becomes_background_of_its_label(node: Class) -> None:
    node.press()
    node.live.ended = [peak("e1"), peak("e2", "speech"), peak("e3", stream="yard")]
    node.live.peaks = [peak("open")]
    node.after()
    for event, reason in (
        ("e2", "speech is a label of home: it cannot be unlearnt"),
        ("nobody", "no event 'nobody' is known; events are kept for 7 days"),
    ):
        assert node.send("teach_wrong", event=event).reason == reason
    assert node.send("teach_wrong", event="e1").result["event"] == "e1"
    assert node.send("teach_wrong").result["event"] == "open"
    node.live.peaks = []
    assert node.send("teach_wrong").result["event"] == "e3"
    again = node.send("teach_wrong", stream="kitchen")
    assert (again.ok, again.reason) == (
        False,
        f"{moment_text(node.store.peak('e1'))} was called wrong already; there is no later event",
    )
    assert (
        node.send("teach_wrong", event="e1").reason == f"{moment_text(node.store.peak('e1'))} was called wrong already"
    )
    assert "no event of a taught label is known in stream attic" in node.send("teach_wrong", stream="attic").reason
    assert node.after().labels[0].wrong == 3
    node.send("teach_undo")
    assert node.after().labels[0].wrong == 2, "what said nothing new is no step"
    assert node.send("teach_wrong").result["event"] == "e3"


def test_a_higher_moment_of_an_open_event_can_be_called_wrong_again(node: Class) -> None:
    node.press()
    node.live.peaks = [peak("open")]
    assert node.send("teach_wrong").ok
    assert not node.send("teach_wrong").ok
    node.live.peaks = [replace(peak("open"), taken_s=time.time() + 1)]
    assert node.send("teach_wrong").ok
    assert node.store.wrong_counts() == {"kettle boils": 1}


def test_commands_list_remove_undo_and_report(node: Class) -> None:
    assert node.send("teach_fit").reason == "nothing is taught yet"
    assert node.send("teach_report").reason == (
        "nothing has been fitted yet; perceptd teach list says what the labels wait for"
    )
    assert node.send("teach_undo").reason == "there is nothing to undo"
    example = node.press().result["example"]
    (listed,) = node.send("teach_list").result["examples"]
    assert (listed["id"], listed["label"], listed["stream"]) == (example, "kettle boils", "kitchen")
    assert node.send("teach_remove", example=example).ok
    assert node.send("teach_list").result == {"examples": [], "left_out": 0}
    assert node.send("teach_remove", example="x").reason == "there is no example x"
    undone = node.send("teach_undo").reason
    (again,) = node.store.examples()
    press = f"example {example[:8]} of kettle boils in kitchen at {clock_text(again.taken_s)}"
    assert undone == f"undone: the removal of {press}"
    assert node.send("teach_undo").reason == f"undone: {press}; its press is erased: teach again what was good"
    assert node.store.examples() == []
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    report = node.send("teach_report", label="kettle boils").result
    assert report["text"] == ["kettle boils: heard in 5 of 5 held-out presses"]
    assert report["report"]["labels"][0]["found"] == 5
    assert node.send("teach_fit").ok
    node.after()
    assert len(node.runner.fits) == 2


@pytest.mark.parametrize(
    ("recognised", "arguments", "examples", "wrong"),
    [
        (True, {"answer": "right"}, ["kettle boils", "kettle boils"], 0),
        (True, {"answer": "wrong", "question": "q1"}, ["kettle boils"], 1),
        (True, {"answer": "was", "label": "tap"}, ["kettle boils", "tap"], 1),
        # no event started: that was right, wrong, or it was something else
        (False, {"answer": "right"}, ["kettle boils"], 1),
        (False, {"answer": "wrong"}, ["kettle boils", "kettle boils"], 0),
        (False, {"answer": "was", "label": "kettle boils"}, ["kettle boils", "kettle boils"], 0),
        (False, {"answer": "was", "label": "tap"}, ["kettle boils", "tap"], 1),
    ],
)
def test_an_answer_teaches(node: Class, recognised: bool, arguments: dict, examples: list[str], wrong: int) -> None:
    node.press()
    assert node.send("teach_answer", answer="right").reason == "no question is open"
    node.store.ask(Question("q1", "near_threshold", recognised, 1e9, peak()))
    assert node.after().question.id == "q1"
    assert node.send("teach_answer", **arguments).ok
    assert [each.label for each in node.store.examples()] == examples
    assert node.store.wrong_counts().get("kettle boils", 0) == wrong
    assert node.after().question is None
    node.send("teach_undo")
    assert [each.label for each in node.store.examples()] == ["kettle boils"]


@pytest.mark.parametrize(
    ("label", "arguments", "examples", "wrong", "words"),
    [
        ("kettle boils", {"answer": "right"}, ["kettle boils", "kettle boils"], 0, "was right"),
        ("kettle boils", {"answer": "wrong"}, ["kettle boils"], 1, "was wrong"),
        ("kettle boils", {"answer": "was", "label": "tap runs"}, ["kettle boils", "tap runs"], 1, "was tap runs"),
        ("speech", {"answer": "was", "label": "tap runs"}, ["kettle boils", "tap runs"], 0, "was tap runs"),
        ("forgotten", {"answer": "was", "label": "tap runs"}, ["kettle boils", "tap runs"], 0, "was tap runs"),
    ],
)
def test_an_answer_about_an_event_teaches(
    node: Class, label: str, arguments: dict, examples: list[str], wrong: int, words: str
) -> None:
    node.press()
    node.store.add_peak(replace(peak("e7"), label=label))
    node.store.ask(Question("q1", "near_threshold", True, 1e9, replace(peak("e7"), label=label)))
    answer = node.send("teach_answer", event="e7", **arguments)
    assert answer.ok
    assert answer.reason.startswith(f"{label} in kitchen at ")
    assert answer.reason.endswith(words)
    assert answer.result["event"] == "e7"
    assert [each.label for each in node.store.examples()] == examples
    assert sum(node.store.wrong_counts().values()) == wrong
    assert node.store.questions() == [], "the question about it is answered too"
    again = node.send("teach_answer", event="e7", **arguments)
    called = words.removeprefix("was ")
    assert (again.ok, again.reason) == (False, f"{moment_text(node.store.peak('e7'))} was called {called} already")
    # the device may have asked just before
    node.store.ask(Question("q2", "near_threshold", True, 1e9, node.store.peak("e7")))
    if called == "right":
        assert node.send("teach_answer", **arguments).reason == again.reason
        assert node.store.questions() == []
    node.send("teach_undo")
    assert [each.label for each in node.store.examples()] == ["kettle boils"]
    assert node.store.wrong_counts() == {}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"answer": "right", "event": "e9"}, "no event 'e9' is known; events are kept for 7 days"),
        ({"answer": "right", "event": "e7", "question": "q1"}, "question and event: expected one of them"),
        ({"answer": "was", "event": "e7"}, "label: is missing; say what it was"),
        (
            {"answer": "right", "event": "e7"},
            "speech belongs to the bundle home, and what a bundle knows is not changed by teaching",
        ),
        (
            {"answer": "wrong", "event": "e7"},
            "speech belongs to the bundle home, and what a bundle knows is not changed by teaching",
        ),
        ({"answer": "wrong", "event": "e8"}, "kettle boils was forgotten: nothing is left to correct"),
        ({"answer": "was", "label": "speech", "event": "e8"}, "speech is a label of home already"),
    ],
)
def test_an_answer_about_an_event_that_teaches_nothing_says_why(node: Class, arguments: dict, reason: str) -> None:
    node.store.add_peak(replace(peak("e7"), label="speech"))
    node.store.add_peak(peak("e8"))
    answer = node.send("teach_answer", **arguments)
    assert not answer.ok
    assert reason in answer.reason
    assert node.store.examples() == []
    assert node.store.wrong_counts() == {}


def test_background_is_gathered_but_not_around_presses_and_events(node: Class) -> None:
    def stored(seconds: int) -> int:
        before = sum(node.store.background_counts(ENCODERS).values())
        for _ in range(seconds):
            node.live.newest = node.now_ns
            node.after()
        return sum(node.store.background_counts(ENCODERS).values()) - before

    assert stored(60) == 4, "one in ten seconds, settled after thirty"
    node.press()
    assert stored(30) == 0
    assert stored(90) >= 5
    node.live.events = {"kitchen": frozenset({"kettle boils"})}
    assert stored(90) <= 3, "those from before the event"
    node.live.events = {"kitchen": frozenset({"speech"})}
    assert stored(90) >= 5
    node.live.paused.add("kitchen")
    stored(30)
    assert stored(60) == 0


def test_a_full_disk_is_told_and_harms_nothing(node: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    node.press()
    found = os.statvfs(node.directory)
    full = os.statvfs_result((*found[:4], 0, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    refused = node.press("tap")
    assert not refused.ok
    assert "must stay free: make room there" in refused.reason
    node.live.ended = [peak(), peak("e2")]
    node.after()
    assert node.counters.dropped == {"peak": 2}
    assert "must stay free" in node.work.facts.problem
    assert node.text().startswith("the disk of")
    assert [label.name for label in node.work.facts.labels] == ["kettle boils"]
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    assert node.press("tap").ok
    node.after()
    assert node.work.facts.problem is None


def test_a_label_that_is_recognised_is_ready_whatever_the_disk_refuses() -> None:
    labels = [LabelFacts(name, frozenset({"kitchen"}), False, 3, 0) for name in ("tap", "kettle boils")]
    full = TeachingFacts(
        "n", "home@1.0.0+taught.1", places={"kitchen": 40}, labels=labels, active=frozenset({"tap"}), problem="full"
    )
    told = teaching_payload(full, TIME)
    assert [(label.state, label.text) for label in told.labels] == [
        ("ready", "3 presses, ready"),
        ("problem", "3 presses, full"),
    ]
    assert told.text == "full"


def test_after_a_loss_the_place_is_learnt_anew_and_what_is_taught_is_fitted(node: Class) -> None:
    node.learn_place()
    node.press()
    node.fit("kettle boils")
    node.live.switch("kettle boils", id="home@1.0.0+taught.1", number=1)
    database = node.directory / "teaching" / "teaching.db"
    database.unlink()
    lost = node.after()
    assert ([label.is_lost for label in lost.labels], lost.places) == ([True], {"kitchen": 0})
    assert "was removed while it was open: what was taught is lost" in (lost.lost or "")
    for _ in range(20):
        node.live.newest = node.now_ns + FIRST_NS
        node.after(FIRST_NS)
    assert node.store.background_counts(ENCODERS)["kitchen"] > 10, "as soon as at a place that is new"
    assert node.press("tap drips").ok
    node.learn_place()
    told = node.after()
    assert ([label.name for label in told.labels], told.problem) == (["tap drips", "kettle boils"], None)
    node.after(QUIET_NS)
    assert len(node.runner.fits) == 1, "the kettle would be gone"
    assert node.press().ok
    node.after(QUIET_NS)
    assert len(node.runner.fits) == 2


@pytest.mark.parametrize("fault", ["removed", "damaged", "while it was off", "an older copy"])
def test_a_lost_store_removes_no_label_and_is_told_in_words(tmp_path: Path, fault: str) -> None:
    node = Class(tmp_path)
    database, copy = tmp_path / "teaching" / "teaching.db", tmp_path / "copy"
    node.learn_place()
    shutil.copy(database, copy)
    node.press()
    node.fit("kettle boils")
    if fault in ("while it was off", "an older copy"):
        node.work.close([], node.now_ns)
        live, installer = node.live, node.installer
        node = Class(tmp_path, live)
        node.installer.outcomes = installer.outcomes
    if fault == "damaged":
        node.store.close()
        database.write_bytes(b"damaged" * 1000)
    elif fault == "an older copy":
        copy.replace(database)
    else:
        database.unlink()
    node.after()
    node.after(QUIET_NS)
    facts = node.after(INSTALL_NS)
    assert (node.installer.removals, len(node.runner.fits) - (fault in ("removed", "damaged"))) == (0, 0)
    payload = teaching_payload(facts, TIME)
    assert payload.text == (
        "1 label has lost its examples: teach it again, restore a backup, or use `teach forget`; until then no label "
        "is fitted, and those that run stay: kettle boils"
    )
    (label,) = payload.labels
    assert (label.label, label.streams, label.presses, label.state) == ("kettle boils", ["kitchen"], 0, "problem")
    assert label.text == (
        "0 presses, recognised as before, but its examples are lost: teach it again, restore a backup, or forget it"
    )
    assert node.send("teach_fit").reason == payload.text
    node.live.ended = [peak()]
    node.after()
    assert node.send("teach_wrong").reason == "no event of a taught label is known; name the event by its id"
    assert node.send("teach_wrong", event="e1").reason == "kettle boils has lost its examples: teach it again first"
    assert node.send("teach_forget", label="kettle boils").ok
    node.after()
    node.after(QUIET_NS)
    assert node.installer.removals == 1
    assert node.after().held is None


def test_a_store_that_cannot_be_used_removes_no_label(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    node.work.close([], node.now_ns)
    database = node.directory / "teaching" / "teaching.db"
    other = sqlite3.connect(database)
    other.execute("PRAGMA user_version = 99")
    other.commit()
    other.close()
    again = Class(node.directory, node.live)
    again.after()
    facts = again.after(INSTALL_NS)
    assert "a later version of perceptd has written it (version 99" in facts.problem
    assert (again.installer.removals, again.runner.fits) == (0, [])


def test_the_last_example_that_is_removed_or_undone_brings_the_base_back(node: Class) -> None:
    example = node.press().result["example"]
    node.learn_place()
    node.fit("kettle boils")
    node.send("teach_remove", example=example)
    node.after()
    node.after(QUIET_NS)
    assert node.installer.removals == 1


def test_a_label_stays_while_its_background_is_missing(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    node.live.switch("kettle boils", encoders={"ear": "c" * 64, "eye": "d" * 64})
    node.press("tap")
    node.after(QUIET_NS)
    facts = node.after(INSTALL_NS)
    assert (node.installer.removals, len(node.runner.fits)) == (0, 1)
    assert facts.held == "no label is fitted until its place is known again, and those that run stay: kettle boils"
    kettle, tap = teaching_payload(facts, TIME).labels
    assert (kettle.state, tap.state) == ("ready", "learning_place")
    for second in range(NEEDED_BACKGROUND):
        node.store.add_background(BackgroundMoment("kitchen", 1e9 + second, node.live.bundle.encoders, VECTORS))
    node.after(RECOUNT_NS)
    node.after(QUIET_NS)
    assert len(node.runner.fits) == 2


def test_a_label_stays_when_its_stream_is_there_no_longer(tmp_path: Path) -> None:
    node = Class(tmp_path, FakeInput("kitchen", "yard"))
    node.press(stream="yard")
    node.learn_place(stream="yard")
    node.fit("kettle boils")
    node.live.streams = frozenset({"kitchen"})
    node.after(RECOUNT_NS)
    node.after(QUIET_NS)
    node.after(INSTALL_NS)
    assert node.installer.removals == 0


def test_taught_labels_of_the_configs_own_bundle_are_not_lost(node: Class) -> None:
    node.live.switch("kettle boils", id="home@1.0.0+taught.1", number=1, directory=Path("b"))
    node.after()
    node.after(QUIET_NS)
    assert (node.text(), node.installer.removals) == ("learning this place: 0 of 30, about 5 minutes more", 0)


def test_another_file_in_its_place_is_read(node: Class, tmp_path: Path) -> None:
    node.press()
    node.after()
    other = TeachingStore(tmp_path / "other.db")
    other.add_example(Example("x1", "tap drips", "kitchen", 1e9, "press", ENCODERS, [StoredMoment(0, VECTORS)]))
    other.close()
    (tmp_path / "other.db").rename(tmp_path / "teaching" / "teaching.db")
    assert [label.name for label in node.after().labels] == ["tap drips"]


def test_what_another_process_has_imported_is_fitted(node: Class, tmp_path: Path) -> None:
    node.learn_place()
    node.after()
    other = TeachingStore(tmp_path / "teaching" / "teaching.db")
    other.add_example(Example("x1", "tap", "kitchen", 1e9, "import", ENCODERS, [StoredMoment(0, VECTORS)]))
    other.close()
    assert node.after().labels[0].name == "tap"
    node.after(QUIET_NS)
    assert len(node.runner.fits) == 1


def test_examples_are_encoded_again_for_a_bundle_with_other_encoders(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    fingerprints = {"ear": "c" * 64, "eye": "d" * 64}
    node.live.switch(id="home@2.0.0", base="home@2.0.0", number=0, encoders=fingerprints)
    facts = node.after()
    (window,) = node.live.again
    assert {type(item).__name__ for item in window.items} == {"Block", "Frame"}
    assert node.store.others(fingerprints) == []
    assert facts.places == {"kitchen": 0}
    assert teaching_payload(facts, TIME).labels[0].state == "learning_place"
    for second in range(NEEDED_BACKGROUND):
        node.store.add_background(BackgroundMoment("kitchen", 1e9 + second, fingerprints, VECTORS))
    node.after(RECOUNT_NS)
    node.fit("kettle boils")
    assert node.runner.fits[-1].order.version == "2.0.0+taught.2"


def test_the_device_asks_about_events_at_most_once_in_five_minutes(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    near = replace(peak("e2"), score=0.81)
    node.live.ended = [peak("e1", "speech"), near]
    question = node.after().question
    assert (question.label, question.why) == ("kettle boils", "near_threshold")
    at = time.strftime("%H:%M:%S", time.localtime(near.taken_s))
    assert question.text == f"kitchen, {at}: was this kettle boils?"
    node.live.ended = [replace(peak("e3"), score=0.81)]
    node.after()
    assert len(node.store.questions()) == 1
    assert node.send("teach_answer", answer="wrong", question=question.id).ok
    assert node.after().question is None
    restarted = Class(node.directory, node.live)
    node.live.ended = [replace(peak("e4"), score=0.81)]
    assert restarted.after().question is None


def test_the_device_asks_about_near_misses(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    node.live.near = [replace(peak("n1"), score=0.3), replace(peak("n2"), score=0.75)]
    question = node.after().question
    assert (question.why, question.recognised) == ("near_threshold", False)
    assert question.text.startswith("kitchen, ")
    assert question.text.endswith(
        ": kettle boils was nearly recognised. Right: it did not happen. Wrong: it did. Which is it?"
    )
    assert node.store.peak("n2") is None, "a near miss cannot be called wrong as an event"


def test_the_pause_between_questions_goes_on_after_a_restart(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    node.store.ask(Question("q1", "near_threshold", True, time.time(), peak()))
    node.live.near = [replace(peak("n1"), score=0.75)]
    assert node.after().question.id == "q1"


def test_a_question_about_a_label_whose_presses_were_undone_is_not_asked(node: Class) -> None:
    node.press()
    node.learn_place()
    node.fit("kettle boils")
    node.live.ended = [replace(peak("e2"), score=0.81)]
    assert node.after().question is not None
    assert node.send("teach_undo").ok
    assert node.after().question is None
    assert node.send("teach_answer", answer="right").reason == "no question is open"
