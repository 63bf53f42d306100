"""A new base: its labels are fitted onto it first, come back later, are waited for, or are left behind."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.errors import UpdateError
from daemon.node.derivation import NewBases, can_encode_again
from daemon.node.fit_ports import Outcome
from daemon.node.teaching_input import taught_onto
from daemon.node.teaching_work import RECOUNT_NS
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment, ExampleInfo
from daemon.updates.steps import Derived
from tests.fakes.teaching_input import FakeInput
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.classroom import VECTORS, Class
from tests.helpers.mosquitto import wait_until
from tests.helpers.taught import on_streams, teach

NEXT = "brightness@1.3.0"


class Updater:
    """Asks for a base on a thread of its own, as the updater does."""

    def __init__(self, bases: NewBases, directory: Path, bundle: str = NEXT) -> None:
        self.derived: Derived | None = None
        self.error: UpdateError | None = None
        self.is_closing = False
        self._request = (bases, directory, bundle)
        self._thread = threading.Thread(target=self._run, name="updater")
        self._thread.start()

    def wait(self, look: Callable[[], object]) -> "Updater":
        """Look until the answer has come."""
        wait_until(lambda: look() and not self._thread.is_alive(), "an answer")
        self._thread.join()
        return self

    def _run(self) -> None:
        bases, directory, bundle = self._request
        try:
            self.derived = bases.derive(directory, bundle, self._beat)
        except UpdateError as error:
            self.error = error

    def _beat(self) -> None:
        if self.is_closing:
            raise UpdateError("disk", "closing")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "next", version="1.3.0")


def node_on(directory: Path, *, is_known: bool = True, places: int = NEEDED_BACKGROUND, **teaching: object) -> Class:
    """Return a node that runs the version before, with other encoders unless they are known."""
    bundle = load_bundle(write_bundle(directory / "active", version="1.2.3"))
    fingerprints = encoder_fingerprints(bundle) if is_known else {"image": "f" * 64}
    node = Class(directory, FakeInput(bundle=taught_onto(bundle.manifest, bundle.directory, fingerprints)), **teaching)
    node.press()
    for second in range(places):
        node.store.add_background(BackgroundMoment("kitchen", 1e9 + second, fingerprints, {"image": VECTORS["ear"]}))
    node.after(RECOUNT_NS)
    return node


def test_labels_are_fitted_onto_a_base_with_the_same_encoders_before_it_takes_over(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path)
    node.after()
    node.after(10**11)
    (running,) = node.runner.fits
    updater = Updater(node.bases, base)
    wait_until(lambda: node.after() and len(node.runner.fits) == 2, "the fit onto the new base")
    assert running.is_closed, "one child process at a time"
    fit = node.runner.fits[1]
    assert (fit.order.base, fit.order.version) == (base, "1.3.0+taught.2")
    fit.end("kettle boils")
    updater.wait(node.after)
    assert updater.derived == Derived(fit.order.target, "brightness@1.3.0+taught.2")
    node.live.switch("kettle boils", id=updater.derived.bundle_id, base=NEXT, number=2)
    node.installer.outcomes[updater.derived.bundle_id] = Outcome("active")
    node.after()
    node.after(10**11)
    assert len(node.runner.fits) == 2, "it is not fitted again"
    assert "recognised in 5 of 5" in node.text() or "heard in 5 of 5" in node.text()


def test_a_base_with_other_encoders_goes_ahead_where_examples_can_be_encoded_again(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path, is_known=False)
    updater = Updater(node.bases, base).wait(node.after)
    assert (updater.derived, updater.error) == (None, None)


@pytest.mark.parametrize("on_update", ["keep", "drop"])
def test_without_pictures_and_sounds_the_config_decides(tmp_path: Path, base: Path, on_update: str) -> None:
    node = node_on(tmp_path, is_known=False, pictures=False, sounds=False, on_update=on_update)
    updater = Updater(node.bases, base).wait(node.after)
    assert updater.derived is None
    if on_update == "drop":
        assert updater.error is None
        return
    assert updater.error.kind == "waits"
    assert str(updater.error) == (
        "the encoders of brightness@1.3.0 differ, and 1 example of kettle boils lacks the picture or sound to encode "
        "again; teaching.on_update: drop installs it without them"
    )


@pytest.mark.parametrize(("on_update", "kind"), [("keep", "waits"), ("drop", None)])
def test_a_fit_that_fails_lets_the_base_wait_or_go_ahead(
    tmp_path: Path, base: Path, on_update: str, kind: str | None
) -> None:
    node = node_on(tmp_path, on_update=on_update)
    updater = Updater(node.bases, base)
    wait_until(lambda: node.after() and node.runner.fits and not node.runner.fits[-1].is_closed, "the fit")
    node.runner.fits[-1].end(reason="bright is a label of brightness 1.3.0 itself; teach another name")
    updater.wait(node.after)
    assert updater.derived is None
    assert (None if updater.error is None else updater.error.kind) == kind


def test_a_base_that_has_the_taught_labels_itself_goes_ahead(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path)
    teach(base, tmp_path / "with", {"kettle boils": on_streams("kitchen")}, version="1.3.0")
    updater = Updater(node.bases, tmp_path / "with").wait(node.after)
    assert (updater.derived, updater.error) == (None, None)


def test_a_base_waits_for_nothing_where_nothing_is_taught(tmp_path: Path, base: Path) -> None:
    node = Class(tmp_path)
    updater = Updater(node.bases, base).wait(node.after)
    assert (updater.derived, updater.error) == (None, None)
    assert NewBases(can_teach=False).derive(base, NEXT, time.time) is None


def make_unusable(node: Class) -> None:
    """Let a later version of perceptd have written the store."""
    node.after()
    node.file.close()
    with contextlib.closing(sqlite3.connect(node.directory / "teaching" / "teaching.db")) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("on_update", ["keep", "drop"])
@pytest.mark.parametrize("fault", ["lost", "unusable"])
def test_a_base_waits_for_labels_whose_examples_are_lost_or_cannot_be_read(
    tmp_path: Path, base: Path, fault: str, on_update: str
) -> None:
    node = node_on(tmp_path, on_update=on_update)
    node.live.switch("kettle boils", id="brightness@1.2.3+taught.1", number=1)
    if fault == "lost":
        (tmp_path / "teaching" / "teaching.db").unlink()
    else:
        make_unusable(node)
    node.after()
    reason = node.work.facts.held if fault == "lost" else node.work.facts.problem
    updater = Updater(node.bases, base).wait(node.after)
    assert updater.derived is None
    expected = f"{reason}; teaching.on_update: drop installs it without them" if on_update == "keep" else None
    assert (None if updater.error is None else str(updater.error)) == expected


def test_a_base_does_not_wait_for_a_store_that_cannot_be_read_where_no_label_runs(tmp_path: Path, base: Path) -> None:
    node = Class(tmp_path)
    make_unusable(node)
    updater = Updater(node.bases, base).wait(node.after)
    assert (updater.derived, updater.error) == (None, None)


def test_a_stop_ends_the_wait(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path)
    updater = Updater(node.bases, base)
    wait_until(lambda: node.after() and node.runner.fits, "the fit")
    node.work.close([], node.now_ns)
    updater.wait(lambda: True)
    assert updater.error.kind == "waits"
    assert node.runner.fits[-1].is_closed
    closing = Updater(NewBases(can_teach=True), base)
    closing.is_closing = True
    closing.wait(lambda: True)
    assert str(closing.error) == "closing"


@pytest.mark.parametrize(
    ("has_picture", "has_sound", "senses", "new", "expected"),
    [
        (True, True, {"image", "audio"}, {"image", "audio"}, True),
        (True, False, {"image"}, {"image", "audio", "text"}, True),
        (False, True, {"audio"}, {"image", "audio"}, True),
        # seen and heard, but one of both was not kept
        (True, False, {"image", "audio"}, {"image", "audio"}, False),
        (False, True, {"image", "audio"}, {"image", "audio"}, False),
        # the new bundle does not need what was not kept
        (True, False, {"image", "audio"}, {"image"}, True),
        # nothing of the new bundle takes in what was shown
        (False, True, {"audio"}, {"image"}, False),
        (False, False, {"text"}, {"text"}, False),
        (True, False, {"text", "image"}, {"text", "image"}, False),
        # no bundle here has encoders of these names
        (True, False, set(), {"image"}, True),
        (False, False, set(), {"image"}, False),
    ],
)
def test_an_example_can_be_encoded_again_where_each_sense_has_what_it_needs(
    has_picture: bool, has_sound: bool, senses: set, new: set, expected: bool
) -> None:
    info = ExampleInfo("x", "kettle boils", "kitchen", 1e9, "press", 1, has_picture, has_sound)
    assert can_encode_again(info, senses, new) is expected


def test_a_base_with_the_same_encoders_goes_ahead_while_no_place_is_known(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path, places=0)
    updater = Updater(node.bases, base).wait(node.after)
    assert (updater.derived, updater.error, node.runner.fits) == (None, None, [])


def test_a_base_waits_for_examples_that_would_be_lost_although_no_place_is_known(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path, is_known=False, places=0, pictures=False)
    assert Updater(node.bases, base).wait(node.after).error.kind == "waits"


def test_what_the_new_encoders_have_made_already_needs_no_picture(tmp_path: Path, base: Path) -> None:
    node = node_on(tmp_path, is_known=False, pictures=False)
    (example,) = node.store.examples()
    node.store.add_embedding(
        example.id, encoder_fingerprints(load_bundle(base)), node.store.example(example.id).moments
    )
    updater = Updater(node.bases, base).wait(node.after)
    assert (updater.derived, updater.error) == (None, None)
