"""A label is taught from lines of text alone: they are the background, and the same line is shown again and again."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.core.records import Line
from daemon.core.timing import NS_PER_S
from daemon.pipeline.recent import Window
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.showing import moments_of
from daemon.pipeline.training_set import score_encoders
from daemon.teaching.quality import judged
from daemon.teaching.records import NEEDED_BACKGROUND
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.pupil import Pupil
from tests.helpers.text_bundle import write_text_bundle

DONE = "the washing is done"
PRESSES = 3

# so often the node looks for background, and a little more
LOOK_EVERY_S = 1.2


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.mark.campaign("teaching")
def test_a_line_that_comes_again_is_taught_by_text_alone(tmp_path: Path, broker: Mosquitto) -> None:
    """By default the line is encoded and judged; in a campaign a node is taught it over MQTT."""
    bundle = write_text_bundle(tmp_path / "notes")
    if not IS_CAMPAIGN:
        check_the_line_may_come_again(bundle)
        return
    settings = {
        "node": "reads",
        "bundle": str(bundle),
        "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
        "streams": {"s": {"text": {"enabled": True}}},
    }
    with Subscriber(broker, "perceptd/reads/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        pupil = Pupil(subscriber, broker, "reads")
        wait_until(lambda: pupil.latest("teaching"), "the node runs")
        for number in range(NEEDED_BACKGROUND + 4):
            say(pupil, f"{chr(97 + number % 26) * 4} {number} degrees in room {7 * number}")
            time.sleep(LOOK_EVERY_S)  # the thread of teaching takes the newest line, in each of its rounds
        wait_until(lambda: pupil.latest("teaching")["places"]["s"]["background"] >= NEEDED_BACKGROUND, "it knows")
        for _ in range(PRESSES):
            count = len(pupil.all("recognition"))
            say(pupil, DONE)
            wait_until(partial(has_read, pupil, count), "the line is read")
            answer = pupil.send("teach", label="washing done", seconds=2.0)
            assert answer["ok"], answer
            assert answer["result"]["senses"] == ["text"]
        wait_until(lambda: pupil.label().get("state") == "ready", "the label is ready")
        say(pupil, "quiet again, 21 degrees")
        say(pupil, DONE)
        assert pupil.wait_for_event("washing done")["bundle"] == "notes@1.0.0+taught.1"
        assert daemon.stop() == 0


def say(pupil: Pupil, line: str) -> None:
    """Send a line to the stream."""
    pupil.broker.publish("perceptd/reads/s/text", line.encode())


def has_read(pupil: Pupil, count: int) -> bool:
    """Return whether the node has recognised something more often than this."""
    return len(pupil.all("recognition")) > count


def check_the_line_may_come_again(bundle: Path) -> None:
    """Check that presses of one line are told from a repetition by their time, and that the line is no other."""
    recogniser = load_recogniser(load_bundle(bundle))
    manifest = recogniser.bundle.manifest
    assert score_encoders(manifest) == frozenset()
    first, again, other = (
        moments_of(Window([Line(text, at_ns)], 0, NS_PER_S), recogniser)
        for text, at_ns in ((DONE, NS_PER_S // 4), (DONE, NS_PER_S // 2), ("the tap runs", NS_PER_S // 2))
    )
    assert (first[0].vectors["note"] == again[0].vectors["note"]).all()
    assert not (first[0].vectors["note"] == other[0].vectors["note"]).all()
    assert judged([], None, again, manifest.encoder_modalities, [first]).refusal is None
