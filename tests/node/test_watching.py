"""What people who look see of a stream: the best labels and all taught ones, the level of sound, and pictures."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import cv2
import numpy as np

from daemon.bundle.taught import Taught, TaughtLabel
from daemon.bundle.thresholds import Threshold
from daemon.core.errors import InputError
from daemon.core.records import Block, Deferred, Embedding, Frame, Moment, Recognition
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.mqtt.payloads import parse_time
from daemon.mqtt.recognition_json import BundleView
from daemon.node.latency import BundleMonitor
from daemon.node.preview import Preview
from daemon.node.stream_publisher import PublishedBundle
from daemon.node.watching import Watching, scored_labels
from daemon.pipeline.gates import NO_GATES

LABELS = ["a", "b", "c", "d", "e", "f", "kettle", "none"]
TAUGHT = Taught(
    model="m.tflite",
    cases="c.npz",
    labels={"kettle": TaughtLabel(everywhere=Threshold(start=0.5, end=0.4))},
)
VIEW = BundleView("b@1.0.0", LABELS, "exclusive", {"eye": "image", "eye2": "image", "ear": "audio"}, True)
BUNDLE = PublishedBundle(VIEW, BundleMonitor(int), TAUGHT, {}, ["none"])


def recognised(scores: Sequence[float], **shares: float) -> Recognition:
    now_ns = monotonic_ns()
    vector = np.zeros(1, np.float32)
    moment = Moment(now_ns, {name: Embedding(name, vector, now_ns, now_ns) for name in shares})
    size = len(scores)
    given = {name: np.full(size, share, np.float32) for name, share in shares.items()}
    return Recognition(moment, np.array(scores, np.float32), np.zeros(size, np.float32), given)


def test_the_best_labels_and_all_taught_ones_are_told_with_the_part_of_each_sense() -> None:
    scores = [0.3, 0.05, 0.2, 0.15, 0.1, 0.19, 0.01, 0.9]
    found = scored_labels(BUNDLE, recognised(scores, eye=1.0, eye2=2.0, ear=1.0))
    assert [each["label"] for each in found] == ["a", "c", "f", "d", "e", "kettle"]
    assert found[0] == {"label": "a", "score": 0.3, "shares": {"image": 0.75, "audio": 0.25}}
    # what speaks against a label has no part in it
    assert scored_labels(BUNDLE, recognised(scores, eye=3.0, ear=-1.0))[0]["shares"] == {"image": 1.0, "audio": 0.0}
    assert scored_labels(BUNDLE, recognised(scores, ear=-1.0))[0]["shares"] == {"audio": 0.0}
    assert scored_labels(BUNDLE, recognised(scores))[0]["shares"] == {}


def test_a_message_is_another_one_once_there_is_news_and_at_most_five_a_second() -> None:
    watching = Watching("s", NO_GATES)
    first = watching.scores()
    assert (first.content["labels"], first.content["level_db"]) == ([], None)
    assert first.content["gates"] == {"motion": None, "sound": None}
    assert watching.scores() is first
    watching.observe(BUNDLE, Fused([recognised([0.0] * 6 + [1.0, 0.0], ear=1.0)], []), 0)
    watching.see(Block(np.full(100, 0.1, np.float32), 1000, monotonic_ns()))
    assert watching.scores() is first, "it is too soon"
    late = Watching("s", NO_GATES)
    late.observe(BUNDLE, Fused([recognised([0.0] * 6 + [1.0, 0.0], ear=1.0)], []), 0)
    late.see(Block(np.full(100, 0.1, np.float32), 1000, monotonic_ns()))
    content = late.scores().content
    assert content["labels"][0]["label"] == "kettle"
    assert content["level_db"] == -20.0


def test_what_is_closed_is_forgotten() -> None:
    watching = Watching("s", NO_GATES)
    watching.observe(BUNDLE, Fused([recognised([1.0] * 8)], []), 0)
    watching.see(Block(np.full(100, 0.1, np.float32), 1000, monotonic_ns()))
    watching.forget("audio")
    content = watching.scores().content
    assert (content["labels"], content["level_db"]) == ([], None)


START_NS = monotonic_ns()


def frame(brightness: int = 200, at_s: float = 0.0, delay_ns: int = 0) -> Frame:
    """Return a picture of 1280 x 720, that was captured so long after the first."""
    picture = np.full((720, 1280, 3), brightness, np.uint8)
    return Frame((picture,), START_NS + round(at_s * NS_PER_S) + delay_ns, delay_ns=delay_ns)


def untouched(at_s: float = 0.0) -> Frame:
    return Frame(Deferred(fail), START_NS + round(at_s * NS_PER_S))


def fail() -> tuple[np.ndarray, ...]:
    raise AssertionError("nobody looks")


def damaged() -> tuple[np.ndarray, ...]:
    raise InputError("it has no colours")


def asked(preview: Preview, offered: Frame, after: int = 0, width: int = 640) -> Any:
    """Return what a request gets while a camera delivers this frame."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(preview.picture(after, width)))
    thread.start()
    while thread.is_alive():
        preview.offer(offered)
        thread.join(0.01)
    return answers[0]


def test_no_frame_is_touched_while_nobody_looks() -> None:
    Preview().offer(untouched())


def test_a_picture_is_about_as_wide_as_was_asked_for_and_shared_by_all() -> None:
    preview = Preview()
    picture = asked(preview, frame())
    assert (picture.sequence, picture.width, picture.height) == (1, 640, 360)
    shown = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (360, 640, 3)
    assert abs(int(shown.mean()) - 200) < 3
    assert preview.picture(0, 320) is picture, "it is there already"
    preview.offer(untouched(at_s=0.05))  # too soon after the one before
    assert asked(preview, frame(at_s=0.2), after=1).sequence == 2


def test_a_closed_camera_has_no_picture() -> None:
    preview = Preview()
    asked(preview, frame())
    preview.forget()
    # the picture from before is not shown, although it is newer than what was seen
    shown = asked(preview, frame(20, at_s=1))
    assert shown.sequence == 2
    assert cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_COLOR).max() < 40


def test_a_frame_that_cannot_be_converted_is_left_out() -> None:
    preview = Preview()
    asked(preview, frame())
    preview.offer(Frame(Deferred(damaged), START_NS + NS_PER_S))
    assert asked(preview, frame(at_s=2), after=1).sequence == 2


def test_times_are_those_of_the_capture() -> None:
    preview = Preview()
    late = asked(preview, frame(delay_ns=500 * NS_PER_MS))
    plain = asked(preview, frame(at_s=1), after=1)
    assert parse_time(plain.time) - parse_time(late.time) == timedelta(seconds=1)
