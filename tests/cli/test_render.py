"""Received messages rendered as lines for people."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.render import Narrator, render
from daemon.core.records import Event
from daemon.mqtt.payloads import RecognitionPayload, event_payload, state_payload
from daemon.mqtt.recognition_json import recognition_json
from daemon.mqtt.subscriber import Received, parse
from daemon.mqtt.teaching_payloads import TaughtLabelPart
from tests.fakes.teaching import question, taught, teaching
from tests.fakes.updates import bundle, candidate, models, result
from tests.mqtt.records import recognition, view

TIME = "2026-01-31T12:00:00.000001Z"
AT_NS = 1_769_860_800 * 10**9
ANSI = re.compile(r"\x1b\[[0-9]+m")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def received(topic: str, payload: bytes, retained: bool = False) -> Received:
    message = parse(topic, payload, retained, AT_NS + 23_000_000)
    assert message is not None
    return message


UNUSED = (
    "84 % of the pictures come too late to be used: the machine is overloaded; "
    "set camera.fps to 5 or less, or use gates.motion, an accelerator or a smaller model"
)
SOUND_UNUSED = (
    "80 % of the sound comes too late to be used: the machine is overloaded; "
    "use gates.sound, an accelerator or a smaller model"
)


def recognised(late_ms: float = 0.0, **changes: object) -> Received:
    original = recognition_json(
        recognition(("image", "audio"), ages_ns=(0, 400_000_000), late_ns=round(late_ms * 1_000_000)),
        bundle=view("b"), node="n", stream="front", top=1, time=TIME,
    )  # fmt: skip
    payload = RecognitionPayload.model_validate_json(original)
    part = payload.labels[0].model_copy(update={"shares": {"image": 5.123, "audio": -3.21}})
    changed = payload.model_copy(update={"label": "7", "score": 0.75, "labels": [part], **changes})
    return received("perceptd/n/front/recognition", changed.to_json())


def with_others(**scores: float) -> Received:
    """A recognition in which other labels score too, as under independent scoring."""
    content = recognised().content
    assert isinstance(content, RecognitionPayload)
    others = [content.labels[0].model_copy(update={"label": label, "score": score}) for label, score in scores.items()]
    return recognised(labels=[content.labels[0], *others])


def heard_and_seen() -> Received:
    """A dog that is seen and heard while somebody speaks, by a bundle with two encoders of pictures."""
    parts = {"scene": {"modality": "image", "age_ms": 0}, "people": {"modality": "image", "age_ms": 400}}
    dog = {"shares": {"image": 1.4, "audio": 4.2}, "encoders": {"scene": 1.5, "people": -0.1, "sound": 4.2}}
    speech = {"shares": {"audio": 3.4}, "encoders": {"sound": 3.4}}
    labels = [
        {"label": name, "score": score, "logit": 0, "bias": 0, **part}
        for name, score, part in (("dog", 0.93, dog), ("speech", 0.71, speech), ("cat", 0.49, speech))
    ]
    common = {"id": "i", "time": TIME, "node": "n", "stream": "front", "bundle": "home@1.0.0", "scoring": "independent"}
    content = {
        "schema": 1,
        **common,
        "label": "dog",
        "score": 0.93,
        "modalities": {"image": {"age_ms": 0}, "audio": {"age_ms": 300}},
        "encoders": parts | {"sound": {"modality": "audio", "age_ms": 300}},
        "labels": labels,
    }
    return received("perceptd/n/front/recognition", json.dumps(content).encode())


def event(phase, ended_by=None, label: str = "7", **shares: float) -> Received:
    record = Event(phase, label, "id", 0, 3_200_000_000, 0.93, 0.95, ended_by, shares)
    payload = event_payload(record, node="n", stream="front", bundle_id="b", time=TIME, started=TIME)
    return received("perceptd/n/front/event", payload.to_json())


def health(
    status: str, trouble: str | None = None, reload_problem: str | None = None, **sources: dict[str, object]
) -> Received:
    troubles = {"trouble": trouble, "reload_problem": reload_problem}
    report = {"schema": 1, "status": status, **troubles, "streams": {"front": {"sources": sources}}}
    return received("perceptd/n/health", json.dumps(report).encode(), True)


def changed(text: str) -> Received:
    report = {"schema": 1, "status": "ok", "streams": {}, "bundle_changed": text}
    return received("perceptd/n/health", json.dumps(report).encode(), True)


def on_cpu(**outbox: object) -> Received:
    """Health of a node whose Edge TPU is absent."""
    accelerators = {"edgetpu": {"state": "absent", "reason": "there is no Edge TPU"}, "gpu": {"state": "in_use"}}
    report = {"schema": 1, "status": "degraded", "accelerators": accelerators, "mqtt": {"outbox": outbox}}
    return received("perceptd/n/health", json.dumps(report).encode(), True)


def closed(status: str = "ok", **streams: dict[str, object]) -> Received:
    """Health with these fields of each stream; one source of each is paused."""
    source = {"camera": {"state": "paused", "reason": "an old reason"}}
    reports = {name: {"sources": source, **stream} for name, stream in streams.items()}
    report = {"schema": 1, "status": status, "trouble": None if status == "ok" else "why", "streams": reports}
    return received("perceptd/n/health", json.dumps(report).encode(), True)


PAUSED: dict[str, object] = {"paused": True, "camera": False, "microphone": False}
MUTED: dict[str, object] = {"paused": False, "camera": True, "microphone": False}


def lesson(*labels: TaughtLabelPart, **changes: object) -> Received:
    return received("perceptd/n/teaching", teaching(*labels, **changes).to_json(), True)


def still_open(label: str, *others: str) -> Received:
    payload = state_payload(label=label, score=0.9, since=TIME, open_labels=[label, *others])
    return received("perceptd/n/front/state", payload.to_json(), True)


def bundles(**changes: object) -> Received:
    return received("perceptd/n/models", models(**changes).to_json(), True)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (recognised(), "12:00:00.000  front  7  0.75 ██████    image +5.1  audio -3.2 (0.4 s old)  23 ms"),
        (recognised(score=0.99), "12:00:00.000  front  7  0.99 ███████▉  image +5.1  audio -3.2 (0.4 s old)  23 ms"),
        (
            with_others(dog=0.7, rain=0.512, wind=0.5),
            "12:00:00.000  front  7  0.75 ██████    image +5.1  audio -3.2 (0.4 s old)  "
            "also dog 0.70, rain 0.51  23 ms",
        ),
        (
            heard_and_seen(),
            "12:00:00.000  front  dog  0.93 ███████▌  image +1.4 (scene +1.5, people -0.1)  audio +4.2 (0.3 s old)  "
            "also speech 0.71  23 ms",
        ),
        (event("start"), "12:00:00.000  front  ▶ 7 started  0.93  23 ms"),
        (
            event("start", image=0.123, audio=0.877),
            "12:00:00.000  front  ▶ 7 started  0.93  image 12 %  audio 88 %  23 ms",
        ),
        (event("start", image=0.004, audio=0.996), "12:00:00.000  front  ▶ 7 started  0.93  audio 100 %  23 ms"),
        (event("update", text=1.0), "12:00:00.000  front  · 7 goes on for 3.2 s  0.93  text 100 %  23 ms"),
        (event("end", "absent"), "12:00:00.000  front  ■ 7 ended after 3.2 s (absent)  peak 0.95  23 ms"),
        (
            event("end", "absent", image=1.0),
            "12:00:00.000  front  ■ 7 ended after 3.2 s (absent)  peak 0.95  image 100 %  23 ms",
        ),
        (received("perceptd/n/availability", b"online"), "12:00:00.023  node n  is online"),
        (received("perceptd/n/availability", b"offline"), "12:00:00.023  node n  is offline"),
        (health("ok"), "12:00:00.023  node n  is well"),
        (on_cpu(), "12:00:00.023  node n  is degraded: edgetpu: there is no Edge TPU; on the CPU"),
        (
            on_cpu(trouble="the disk is full"),
            "12:00:00.023  node n  is degraded: edgetpu: there is no Edge TPU; on the CPU; the disk is full",
        ),
        (changed("/b differs from digits@1.0.0"), "12:00:00.023  node n  is well; /b differs from digits@1.0.0"),
        (
            health("ok", reload_problem="config.yaml:3: unknown key"),
            "12:00:00.023  node n  is well; the config was not reloaded: config.yaml:3: unknown key",
        ),
        (closed(front=PAUSED), "12:00:00.023  node n  is paused; front is paused"),
        (closed(front=PAUSED, back=MUTED), "12:00:00.023  node n  is well; front is paused; back/microphone is closed"),
        (closed("degraded", front=PAUSED), "12:00:00.023  node n  is degraded: why; front is paused"),
        (health("failed", trouble="outbox has ended"), "12:00:00.023  node n  has failed: outbox has ended"),
        (
            health("degraded", camera={"state": "backing_off", "reason": "no such device"}, text={"state": "healthy"}),
            "12:00:00.023  node n  is degraded: front/camera is backing off: no such device",
        ),
        (
            health("degraded", camera={"state": "degraded", "reason": f"{UNUSED}; {SOUND_UNUSED}"}),
            f"12:00:00.023  node n  is degraded: front: {UNUSED}; {SOUND_UNUSED}",
        ),
        (
            recognised(late_ms=812.0),
            "12:00:00.000  front  7  0.75 ██████    image +5.1 (0.8 s old)  audio -3.2 (0.4 s old)  23 ms",
        ),
        (
            received("perceptd/n/front/state", state_payload(label="7", score=0.9, since=TIME).to_json(), True),
            "12:00:00.023  front  7 since 12:00:00.000",
        ),
        (
            received("perceptd/n/front/state", state_payload(label=None, score=None, since=TIME).to_json(), True),
            "12:00:00.023  front  nothing since 12:00:00.000",
        ),
        (still_open("7"), "12:00:00.023  front  7 since 12:00:00.000"),
        (still_open("7", "dog", "rain"), "12:00:00.023  front  7 since 12:00:00.000; also open: dog, rain"),
        (bundles(), "12:00:00.023  node n  runs digits@0.4.0"),
        (bundles(latest="0.5.0"), "12:00:00.023  node n  runs digits@0.4.0; the latest is 0.5.0"),
        (bundles(candidate=candidate("check")), "12:00:00.023  node n  installs digits@0.5.0: check"),
        (bundles(candidate=candidate("probation")), "12:00:00.023  node n  runs digits@0.5.0 on probation"),
        (
            received("perceptd/n/front/event", b"{}"),
            "12:00:00.023  front  malformed event: id: Field required",
        ),
    ],
)  # fmt: skip
def test_a_message_is_rendered_as_one_line(message, line):
    assert render(message, colour=False, with_node=False) == line
    assert ANSI.sub("", render(message, colour=True, with_node=False)) == line


def test_with_node_a_streams_name_includes_its_nodes_name():
    assert "  n/front  " in render(event("start"), colour=False, with_node=True)


ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(ANY)
def test_no_control_character_from_the_broker_reaches_the_terminal(text):
    for message in (
        recognised(label=text),
        event("start", label=text),
        with_others(**dict.fromkeys([text, *"abcdefghij"], 0.9)),
        still_open("7", *[text] * 12),
        health("bad", camera={"state": "stalled", "reason": text}),
        closed(**{text: PAUSED}),
        lesson(taught(text), text=text, question=question(text=text)),
        bundles(active=bundle("1").model_copy(update={"id": text}), latest=text),
        bundles(candidate=candidate("check").model_copy(update={"id": text})),
        received("perceptd/n/front/state", state_payload(label=text, score=1.0, since=TIME).to_json(), True),
        received(f"perceptd/{text.replace('/', '')}/front/event", b"{}"),
        received("perceptd/n/front/event", json.dumps({"schema": text}).encode()),
        received("perceptd/n/front/recognition", json.dumps({"modalities": {text: 1}}).encode()),
    ):
        plain = render(message, colour=False, with_node=True)
        assert plain.isprintable()
        assert len(plain) < 1000
        assert ANSI.sub("", render(message, colour=True, with_node=True)) == plain


def test_a_narrator_renders_only_news():
    narrator = Narrator(colour=False, with_node=False)
    state = state_payload(label="7", score=0.9, since=TIME).to_json()
    assert narrator.render_news(received("perceptd/n/front/state", state, True)) is not None
    assert narrator.render_news(received("perceptd/n/front/state", state, False)) is None
    degraded = health("degraded", camera={"state": "backing_off", "reason": "gone"})
    messages = [health("ok"), health("ok"), degraded, degraded, health("ok")]
    rendered = [narrator.render_news(message) is not None for message in messages]
    assert rendered == [True, False, True, False, True]
    assert narrator.render_news(event("start")) == narrator.render_news(event("start"))


def test_a_narrator_renders_what_a_node_was_taught_when_its_text_changes():
    narrator = Narrator(colour=False, with_node=False)
    steps = [
        (lesson(text="learning this place: 12 of 30"), None),
        (lesson(taught(), text="kettle boils: 3 presses"), "kettle boils: 3 presses"),
        (lesson(taught(), text="kettle boils: 3 presses"), None),
        (lesson(taught(), text="a", question=question(text="was it?")), "a; it asks: was it?"),
        (lesson(taught(state="waiting"), text="b"), "b"),
        (lesson(taught(), text="c"), "in use now: kettle boils (5 presses, ready, heard in 5 of 5)"),
        (lesson(taught(), taught("bell"), text="c"), "in use now: bell (5 presses, ready, heard in 5 of 5)"),
    ]
    for message, text in steps:
        line = narrator.render_news(message)
        assert line == (None if text is None else f"12:00:00.023  node n  teaching: {text}")


def test_a_narrator_renders_the_stages_and_results_of_installations():
    narrator = Narrator(colour=False, with_node=False)
    installed = {"active": bundle("0.5.0"), "latest": "0.5.0"}
    refused = {"last_result": result("0.6.0", "check", "two labels are missing")}
    steps = [
        (bundles(), "runs digits@0.4.0"),
        (bundles(latest="0.5.0"), None),
        (bundles(candidate=candidate("download")), "installs digits@0.5.0: download"),
        (bundles(candidate=candidate("download", done=500)), None),
        (bundles(candidate=candidate("switch")), "installs digits@0.5.0: switch"),
        (
            bundles(candidate=candidate("probation"), **installed),
            "runs digits@0.5.0 on probation",
        ),
        (bundles(last_result=result("0.5.0"), **installed), "has installed digits@0.5.0"),
        (bundles(last_result=result("0.5.0"), **installed), None),
        (bundles(**installed, **refused), "has given up digits@0.6.0 in check: two labels are missing"),
        (bundles(**refused), "runs digits@0.4.0"),
    ]
    for message, text in steps:
        line = narrator.render_news(message)
        assert line == (None if text is None else f"12:00:00.023  node n  {text}")
