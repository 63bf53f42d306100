"""The child process that fits what was taught, and the training set that it makes of a bundle and the store."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.encoder_specs import AudioSpec, ImageSpec
from daemon.bundle.taught import MAX_TAUGHT
from daemon.core.records import Embedding, Moment, Scoring
from daemon.pipeline.fit_main import FitAnswer, FitRequest, answer_fit, fit_bundle
from daemon.pipeline.heads import load_head
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.selftest import run_selftest
from daemon.pipeline.training_set import (
    HeadLogits,
    cases_of,
    covered_vectors,
    features_of,
    known_vectors,
    labels_to_fit,
    scores_only,
)
from daemon.runtime.child import MAX_OUTPUT_BYTES, Child
from daemon.teaching.records import BackgroundMoment, StoredMoment, TrainingData, WrongMoment
from daemon.teaching.report import LabelReport, Report
from daemon.teaching.rows import EventTimes
from daemon.teaching.store import TeachingStore
from tests.helpers import format2_bundle
from tests.helpers.taught_place import STREAM, TaughtPlace

BASE = len(format2_bundle.LABELS)
LABELS = ["kettle boils", "letterbox"]
CHILD_S = 60.0


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return format2_bundle.write_bundle(tmp_path / "corner")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("filled")
    return TaughtPlace(format2_bundle.write_bundle(directory / "corner")).fill(directory / "teaching.db", LABELS)


def request(database: Path, base: Path, target: Path) -> FitRequest:
    return FitRequest(database=str(database), base=str(base), target=str(target), version="1.0.0+taught.1")


def scores(directory: Path, place: TaughtPlace, of: str) -> dict[str, float]:
    """Return the scores of a moment of a class by label."""
    bundle = load_bundle(directory)
    moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in place.vectors(of).items()})
    return dict(zip(bundle.manifest.labels, load_head(bundle).recognise(moment).scores.tolist(), strict=True))


def test_a_confined_child_fits_what_the_store_has_and_writes_the_bundle(
    base: Path, filled: Path, tmp_path: Path
) -> None:
    place = TaughtPlace(base)
    with Child(answer_fit, request(filled, base, tmp_path / "taught").model_dump_json()) as child:
        answer = FitAnswer.model_validate_json(child.result(CHILD_S))
    assert answer.ok
    assert answer.report is not None
    assert [(label.label, label.tried) for label in answer.report.labels] == [(label, 5) for label in LABELS]
    bundle = load_bundle(tmp_path / "taught")
    assert bundle.manifest.id == "corner@1.0.0+taught.1"
    assert bundle.manifest.labels_in(STREAM) == [*format2_bundle.LABELS, *LABELS]
    assert run_selftest(bundle, load_recogniser(bundle)) == []
    for label in LABELS:
        found = scores(tmp_path / "taught", place, label)
        assert max(LABELS, key=lambda each: found[each]) == label
        assert found[label] > bundle.manifest.taught.labels[label].threshold(STREAM).start  # type: ignore[union-attr]
    assert all(scores(tmp_path / "taught", place, "nothing")[label] < 0.5 for label in LABELS)


def test_the_times_of_events_count(base: Path, filled: Path, tmp_path: Path) -> None:
    asked = request(filled, base, tmp_path / "taught")
    answer = fit_bundle(asked.model_copy(update={"events": {STREAM: EventTimes(min_duration_s=10)}}))
    assert answer.report is not None
    assert [(label.found, label.tried) for label in answer.report.labels] == [(0, 5), (0, 5)]


def test_equal_stores_give_equal_bundles(base: Path, filled: Path, tmp_path: Path) -> None:
    for target in ("one", "two"):
        assert fit_bundle(request(filled, base, tmp_path / target)).ok
    names = [path.relative_to(tmp_path / "one") for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_a_base_that_was_taught_is_fitted_as_the_base_itself(base: Path, filled: Path, tmp_path: Path) -> None:
    assert fit_bundle(request(filled, base, tmp_path / "first")).ok
    assert fit_bundle(request(filled, tmp_path / "first", tmp_path / "second")).ok
    for name in ("bundle.yaml", "taught.tflite", "taught.npz"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


@pytest.mark.parametrize("scoring", ["independent", "exclusive"])
def test_what_the_base_knew_stays(filled: Path, tmp_path: Path, scoring: Scoring) -> None:
    base = format2_bundle.write_bundle(tmp_path / "corner", scoring)
    place = TaughtPlace(base)
    answer = fit_bundle(request(filled, base, tmp_path / "taught"))
    assert answer.ok, answer.reason
    before, after = load_head(load_bundle(base)), load_head(load_bundle(tmp_path / "taught"))
    for of in ("nothing", *LABELS):
        moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in place.vectors(of).items()})
        old, new = before.recognise(moment).scores, after.recognise(moment).scores
        if scoring == "independent":
            np.testing.assert_array_equal(new[: BASE - 1], old[:-1])
        else:
            np.testing.assert_allclose(new[:BASE] / new[:BASE].sum(), old, atol=1e-5)


def test_states_are_fitted_against_a_covered_camera(base: Path, tmp_path: Path) -> None:
    states = ["garage: open", "garage: closed"]
    store = TaughtPlace(base, ["scene", "people"]).fill(tmp_path / "teaching.db", states, presses=3, background=0)
    answer = fit_bundle(request(store, base, tmp_path / "taught"))
    assert answer.ok, answer.reason
    taught = load_bundle(tmp_path / "taught").manifest.taught
    assert taught is not None
    assert taught.groups(STREAM) == {"garage": states}
    covered = covered_vectors(load_recogniser(load_bundle(base), ("image",)))
    assert len(covered) == 8
    assert {name: vector.shape for name, vector in covered[0].items()} == {"scene": (5,), "people": (2,)}


@pytest.mark.parametrize(
    ("labels", "background", "reason"),
    [
        ([], 30, "nothing was taught"),
        (LABELS, 12, "kettle boils waits for background: hall 12 of 30"),
        (["loud"], 30, ""),
    ],
)
def test_what_cannot_be_fitted_is_told_in_words(
    base: Path, tmp_path: Path, labels: list[str], background: int, reason: str
) -> None:
    store = TaughtPlace(base).fill(tmp_path / "teaching.db", labels, presses=1, background=background)
    answer = fit_bundle(request(store, base, tmp_path / "taught"))
    assert not answer.ok
    assert answer.reason is not None
    assert answer.reason.startswith(reason or "loud is not fitted: loud is a label of corner already")
    assert not (tmp_path / "taught").exists()


def test_a_store_or_base_that_is_not_there_is_told_in_words(base: Path, filled: Path, tmp_path: Path) -> None:
    answer = fit_bundle(request(tmp_path / "teaching.db", base, tmp_path / "taught"))
    assert (answer.ok, answer.may_pass, "teaching.db" in (answer.reason or "")) == (False, True, True)
    answer = fit_bundle(request(filled, tmp_path / "none", tmp_path / "taught"))
    assert answer.reason == f"{tmp_path}/none: no such directory; expected a bundle there (see docs/bundle.md)"
    assert not answer.may_pass
    answer = fit_bundle(request(filled, base, tmp_path / "none" / "taught"))
    assert (answer.may_pass, answer.reason) == (True, f"{tmp_path}/none/taught: No such file or directory")


def test_a_target_that_exists_is_left_alone(base: Path, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "taught").mkdir()
    (tmp_path / "taught" / "mine").touch()
    assert fit_bundle(request(filled, base, tmp_path / "taught")).reason == f"{tmp_path}/taught: File exists"
    assert [path.name for path in (tmp_path / "taught").iterdir()] == ["mine"]


@pytest.mark.parametrize("number", [1e3, 1e20, 3e38])
def test_numbers_that_no_encoder_gives_harm_no_other_example(base: Path, tmp_path: Path, number: float) -> None:
    place = TaughtPlace(base)
    database = place.fill(tmp_path / "teaching.db", LABELS)
    store, example = TeachingStore(database), place.example("h1", "letterbox", 1e5)
    vectors = {name: np.full_like(vector, number) for name, vector in example.moments[0].vectors.items()}
    store.add_example(replace(example, moments=[StoredMoment(0, vectors), *example.moments[1:]]))
    store.add_wrong(WrongMoment("letterbox", STREAM, 1e5, example.encoders, vectors), "e1")
    store.add_background(BackgroundMoment(STREAM, 1e5, example.encoders, vectors))
    store.close()
    answer = fit_bundle(request(database, base, tmp_path / "taught"))
    assert [(each.found, each.tried) for each in answer.report.labels] == [(5, 5), (6, 6)]
    for what in ("example h1 of letterbox", "background", "what was wrong"):
        words = "1 moment is left out, with numbers that are far larger than those of all others"
        assert f"{what}: {words}" in answer.report.notes


def test_examples_of_other_encoders_are_named_in_the_report(base: Path, filled: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(filled, tmp_path / "teaching.db"))
    store, foreign = TeachingStore(database), TaughtPlace(base).example("foreign", "letterbox")
    store.add_example(replace(foreign, encoders=dict.fromkeys(foreign.encoders, "f" * 64)))
    store.close()
    answer = fit_bundle(request(database, base, tmp_path / "taught"))
    assert answer.report is not None
    assert answer.report.notes[-1] == "1 example was made by other encoders than those of corner 1.0.0"


def test_labels_come_in_the_order_in_which_they_were_shown(base: Path) -> None:
    place = TaughtPlace(base)
    names = ["letterbox", "garage: open", "loud", "kettle boils", "letterbox", *map(str, range(MAX_TAUGHT))]
    data = TrainingData(
        [place.example(f"e{i}", name) for i, name in enumerate(names)], [], [], [], ["a moment: damaged"]
    )
    found = labels_to_fit(place.bundle.manifest, data, frozenset({"kettle boils"}))
    assert len(found.labels) == MAX_TAUGHT
    assert [(label.name, label.everywhere, label.state_of) for label in found.labels[:3]] == [
        ("letterbox", False, None),
        ("garage: open", False, "garage"),
        ("kettle boils", True, None),
    ]
    assert found.notes == [
        "loud is not fitted: loud is a label of corner already",
        "97 is left out: 100 labels are the most",
        "98 is left out: 100 labels are the most",
        "99 is left out: 100 labels are the most",
        "a moment: damaged",
    ]


def test_cases_are_presses_and_background(base: Path) -> None:
    place = TaughtPlace(base)
    presses = [place.example(f"e{number}", LABELS[number % 3 % 2]) for number in range(200)]
    features = cases_of(place.bundle.manifest, TrainingData(presses, [], [], [], []), LABELS[:1])
    assert features.shape == (40, 11)
    assert (features[:, -3:] == 1).all()


def test_features_leave_out_what_cannot_be_used() -> None:
    nan, sizes = np.array([np.nan], np.float32), {"a": 2, "b": 1, "c": 1}
    features = features_of({"a": np.array([1, 2], np.float32), "b": nan, "c": np.ones(3, np.float32)}, sizes)
    assert features.tolist() == [1, 2, 0, 0, 1, 0, 0]


def test_logits_of_the_base_are_those_of_its_scores(tmp_path: Path) -> None:
    place = TaughtPlace(format2_bundle.write_bundle(tmp_path / "corner", "exclusive"))
    head, vectors = load_head(place.bundle), place.vectors("nothing")
    logits = HeadLogits(head, place.bundle.manifest)(vectors)
    moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in vectors.items()})
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), head.recognise(moment).scores, atol=1e-5)
    assert abs(float(logits.sum())) < 1e-4


def test_what_the_base_knows_are_the_moments_of_its_selftest(base: Path) -> None:
    known = known_vectors(load_recogniser(load_bundle(base)))
    assert [set(vectors) for vectors in known] == [{"scene", "people"}, {"scene", "people", "sound"}]


def test_a_sense_without_an_embedding_gives_scores_only(base: Path) -> None:
    manifest = load_bundle(base).manifest
    assert scores_only(manifest) == {"scene", "people", "sound"}  # no output is longer than the labels are many
    image, audio = manifest.of_modality(ImageSpec)["scene"], manifest.of_modality(AudioSpec)["sound"]
    wide = image.model_copy(update={"outputs": {"e": image.outputs["embedding"].model_copy(update={"shape": [1, 64]})}})
    seen = manifest.model_copy(update={"encoders": {"scene": wide, "people": image, "sound": audio}})
    assert scores_only(seen) == {"sound"}


def test_a_report_of_many_labels_fits_into_the_output_of_a_child() -> None:
    generator = np.random.default_rng(1)
    labels = [
        LabelReport(
            label=f"label {number} {generator.bytes(8).hex()}",
            presses=20,
            found=19,
            tried=20,
            false_alarms_a_day=None,
            false_alarms={},
            senses={"audio": float(generator.random())},
            found_without={},
            confused_with=[],
            harmful=[generator.bytes(16).hex() for _ in range(4)],
            mislabelled=[],
            warnings=[f"recognised by the picture of the hall, not by the bell {number}"] * 3,
            text=f"label {number}: heard in 19 of 20 presses while they were held out, 0.3 false alarms a day " * 3,
        )
        for number in range(MAX_TAUGHT)
    ]
    answer = FitAnswer(ok=True, report=Report(labels=labels, notes=["a note"]), seconds=1.0)
    printed = answer.model_dump_json()
    assert len(printed) < MAX_OUTPUT_BYTES / 2
    assert FitAnswer.model_validate_json(printed) == answer


@pytest.mark.parametrize("report", ["", "text", "!!!", "eJw=", 7])
def test_an_answer_with_a_damaged_report_is_refused(report: object) -> None:
    with pytest.raises(ValueError, match="report"):
        FitAnswer.model_validate_json(json.dumps({"ok": True, "report": report}))
