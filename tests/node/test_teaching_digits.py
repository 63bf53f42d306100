"""The bundle digits, which gives scores alone, learns an eleventh sign, and loses no digit."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import av
import pytest

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.records import Frame, Plane
from daemon.core.timing import NS_PER_S
from daemon.pipeline.heads import load_head
from daemon.pipeline.recent import Window
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.showing import moments_of
from daemon.pipeline.training_set import HeadLogits, known_vectors, score_encoders, training_set
from daemon.teaching.fit import fit
from daemon.teaching.quality import judged
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment, Example, StoredMoment, TrainingData
from daemon.teaching.report import Report
from daemon.teaching.rows import LabelToFit
from daemon.teaching.store import TeachingStore
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.drawn_signs import (
    CROSS,
    DIGIT_S,
    PERIOD_S,
    RATE_HZ,
    SEVEN,
    SIGN_S,
    WALL_S,
    Artist,
    Strokes,
    write_film,
)
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.pupil import Pupil

DIGITS = ROOT / "models/digits"
HOUR_S = 3600.0
PRESSES = 5


class Place:
    """A wall before a camera, as the bundle sees it."""

    def __init__(self) -> None:
        self.bundle: Bundle = load_bundle(DIGITS)
        self.recogniser: Recogniser = load_recogniser(self.bundle)
        self.artist = Artist(22)

    def vectors(self, picture: Plane) -> StoredMoment:
        (moment,) = moments_of(Window([Frame((picture,), 0)], 0, NS_PER_S), self.recogniser)
        return moment

    def press(self, strokes: Strokes) -> tuple[list[Plane], list[StoredMoment]]:
        """Return the pictures and the moments of a press: two of the wall, then three of a drawing."""
        drawn = self.artist.sign(strokes)
        pictures = [self.artist.seen(shown) for shown in (*[self.artist.wall()] * 2, *[drawn] * 3)]
        moments = [StoredMoment(500 * place, self.vectors(each).vectors) for place, each in enumerate(pictures)]
        return pictures, moments

    def background(self, count: int) -> list[BackgroundMoment]:
        encoders = encoder_fingerprints(self.bundle)
        return [
            BackgroundMoment("s", time.time() - HOUR_S / 4 * number, encoders, self.vectors(picture).vectors)
            for number, picture in enumerate(self.artist.background(count))
        ]

    def taught(self, name: str, presses: Sequence[Sequence[StoredMoment]]) -> Report:
        examples = [
            Example(str(number), name, "s", HOUR_S * number, "press", {}, moments)
            for number, moments in enumerate(presses)
        ]
        manifest = self.bundle.manifest
        data = TrainingData(examples, self.background(2 * NEEDED_BACKGROUND), [], [], [])
        known = known_vectors(self.recogniser)
        training = training_set(manifest, data, [LabelToFit(name, frozenset({"s"}))], known=known)
        return fit(training, HeadLogits(load_head(self.bundle), manifest)).report


@pytest.fixture(scope="module")
def place() -> Place:
    return Place()


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


def test_a_sign_that_is_no_digit_is_learnt_from_presses_that_look_alike_to_the_bundle(place: Place) -> None:
    manifest = place.bundle.manifest
    presses: list[list[StoredMoment]] = []
    for _ in range(PRESSES):
        pictures, moments = place.press(CROSS)
        modalities, scores = manifest.encoder_modalities, score_encoders(manifest)
        assert judged(pictures, None, moments, modalities, presses, scores=scores).refusal is None
        presses.append(moments)
    report = place.taught("cross", presses)
    (label,) = report.labels
    assert label.found is not None and label.found >= PRESSES - 1
    assert not any("already calls" in warning for warning in label.warnings)
    assert any("What is taught on scores alone is recognised less well" in note for note in report.notes)


def test_a_digit_under_another_name_is_told_to_be_one(place: Place) -> None:
    (label,) = place.taught("lucky", [place.press(SEVEN)[1] for _ in range(PRESSES)]).labels
    assert label.found == 0
    assert label.warnings[0] == "the bundle already calls this 7 in 5 of 5 presses: what it knows stays as it is"


@pytest.mark.campaign("teaching")
def test_a_running_node_learns_the_sign_and_keeps_the_digits(tmp_path: Path, broker: Mosquitto, place: Place) -> None:
    """By default presses and digits of a film are told apart as they are; in a campaign a node watches it."""
    write_film(tmp_path / "film.mp4", PRESSES + 1 if IS_CAMPAIGN else 1)
    if not IS_CAMPAIGN:
        check_film(tmp_path / "film.mp4", place)
        return
    settings = {
        "node": "wall",
        "bundle": str(DIGITS),
        "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
        "streams": {"s": {"replay": {"file": str(tmp_path / "film.mp4")}}},
    }
    store = TeachingStore(tmp_path / "state" / "teaching" / "teaching.db")
    for moment in place.background(2 * NEEDED_BACKGROUND):
        store.add_background(moment)
    store.close()
    with Subscriber(broker, "perceptd/wall/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        pupil = Pupil(subscriber, broker, "wall")
        for number in range(PRESSES):  # half a second after the sign appears
            shown_s = number * PERIOD_S + WALL_S + DIGIT_S + WALL_S + 0.5
            wait_until(partial(has_watched, pupil, shown_s), "the sign is shown")
            answer = pupil.send("teach", label="cross", seconds=2.0)
            assert answer["ok"], answer
        wait_until(partial(is_fitted, pupil), "a fit to all presses is recognised", 90)
        assert pupil.label()["found"] >= PRESSES - 1, pupil.label()
        event = pupil.wait_for_event("cross", 2 * PERIOD_S)
        assert event["bundle"] == pupil.latest("teaching")["bundle"]
        wait_until(lambda: digits_of(pupil, event["bundle"]), "a digit is recognised as before", 2 * PERIOD_S)
        assert daemon.stop() == 0


def has_watched(pupil: Pupil, seconds: float) -> bool:
    """Return whether the node has recognised something for so long."""
    return pupil.seconds() > seconds


def is_fitted(pupil: Pupil) -> bool:
    """Return whether the bundle that runs was fitted to all presses."""
    return pupil.label().get("state") == "ready" and pupil.label()["tried"] == PRESSES


def digits_of(pupil: Pupil, bundle: str) -> set[str]:
    """Return the digits that started events under a bundle."""
    starts = [each for each in pupil.all("event") if each["phase"] == "start" and each["bundle"] == bundle]
    return {each["label"] for each in starts} - {"cross"}


def check_film(film: Path, place: Place) -> None:
    """Check that the film shows a digit that the bundle knows, and a sign that it takes for none."""
    with av.open(str(film)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(pictures) == round(PERIOD_S * RATE_HZ)
    head, manifest = load_head(place.bundle), place.bundle.manifest
    logits = HeadLogits(head, manifest)
    middle_of_digit, middle_of_sign = WALL_S + DIGIT_S / 2, PERIOD_S - SIGN_S / 2
    tops = [
        manifest.labels[int(logits(place.vectors(pictures[round(at_s * RATE_HZ)]).vectors).argmax())]
        for at_s in (middle_of_digit, middle_of_sign)
    ]
    assert tops == ["0", "none"]
