"""Labels that a bundle was published with: they stay as they are when a node is taught others."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.core.errors import BundleError, DocumentError
from daemon.core.records import Array, Embedding, Moment, Scoring
from daemon.pipeline.fit_main import FitRequest, fit_bundle
from daemon.pipeline.heads import load_head
from daemon.pipeline.inherited import load_inherited
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.selftest import run_selftest
from daemon.pipeline.taught_bundle import export_bundle
from daemon.pipeline.training_set import HeadLogits
from tests.helpers import format2_bundle
from tests.helpers.taught import on_streams, random_moment, teach
from tests.helpers.taught_place import STREAM, TaughtPlace

PUBLISHED = {
    "doorbell": on_streams(STREAM, "porch"),
    "tap runs": on_streams("kitchen"),
    "garage: open": on_streams(STREAM, state_of="garage"),
    "garage: closed": on_streams(STREAM, state_of="garage"),
}
OWN = ["kettle boils", "letterbox"]
BASE = len(format2_bundle.LABELS)


def published(directory: Path, scoring: Scoring = "independent", scale: float = 1.0) -> Path:
    """Return a bundle that was published with taught labels."""
    base = format2_bundle.write_bundle(directory / "corner", scoring)
    teach(base, directory / "there", PUBLISHED, scale=scale)
    export_bundle(directory / "there", directory / "published", "kettles", "1.0.0")
    return directory / "published"


def fitted(base: Path, target: Path, store: Path, version: str = "1.0.0+taught.1") -> Path:
    answer = fit_bundle(FitRequest(database=str(store), base=str(base), target=str(target), version=version))
    assert answer.ok, answer.reason
    return target


def manifest_of(directory: Path) -> Manifest:
    return load_bundle(directory).manifest


def taught_part(directory: Path, labels: list[str], seed: int) -> tuple[Array, Array, Array]:
    """Return scores, bias and shares of labels at a moment; an absent encoder has no shares."""
    bundle = load_bundle(directory)
    found = load_head(bundle).recognise(random_moment(bundle.manifest, seed, deviation=0.5))
    indices = [bundle.manifest.labels.index(label) for label in labels]
    shares = np.array([share[indices] for share in found.shares.values()])
    return found.scores[indices], found.bias[indices], shares


@pytest.mark.parametrize("scoring", ["independent", "exclusive"])
def test_published_labels_stay_when_a_node_is_taught_its_own(tmp_path: Path, scoring: Scoring) -> None:
    base = published(tmp_path, scoring)
    store = TaughtPlace(base).fill(tmp_path / "teaching.db", OWN)
    local = fitted(base, tmp_path / "local", store)
    manifest = manifest_of(local)
    assert manifest.labels == [*format2_bundle.LABELS, *PUBLISHED, *OWN]
    assert manifest.inherited == list(PUBLISHED)
    assert manifest.taught is not None
    assert {name: manifest.taught.labels[name] for name in PUBLISHED} == PUBLISHED
    known = [*format2_bundle.LABELS[:-1], *PUBLISHED]
    for seed in range(20):
        before, after = taught_part(base, known, seed), taught_part(local, known, seed)
        # where labels exclude each other, their logits stay, and one probability is shared by more of them
        for old, new in zip(before[scoring == "exclusive" :], after[scoring == "exclusive" :], strict=True):
            np.testing.assert_array_equal(new, old)
    bundle = load_bundle(local)
    assert run_selftest(bundle, load_recogniser(bundle)) == []


def test_the_next_fit_replaces_the_labels_of_the_node_alone(tmp_path: Path) -> None:
    base = published(tmp_path)
    first = fitted(base, tmp_path / "first", TaughtPlace(base).fill(tmp_path / "one.db", OWN))
    other = TaughtPlace(base).fill(tmp_path / "two.db", ["bath runs"])
    second = fitted(first, tmp_path / "second", other, "1.0.0+taught.2")
    direct = fitted(base, tmp_path / "direct", other, "1.0.0+taught.2")
    assert manifest_of(second).labels == [*format2_bundle.LABELS, *PUBLISHED, "bath runs"]
    for name in ("bundle.yaml", "taught.tflite", "taught.npz"):
        assert (second / name).read_bytes() == (direct / name).read_bytes()


def test_labels_of_a_node_are_published_with_those_it_inherited(tmp_path: Path) -> None:
    base = published(tmp_path)
    local = fitted(base, tmp_path / "local", TaughtPlace(base).fill(tmp_path / "teaching.db", OWN))
    export_bundle(local, tmp_path / "export", "more", "1.0.0", everywhere=True)
    manifest = manifest_of(tmp_path / "export")
    assert manifest.inherited == [*PUBLISHED, *OWN]
    for label in (*PUBLISHED, *OWN):
        assert label in manifest.labels_in("a stream of another node")
    again = fitted(tmp_path / "export", tmp_path / "again", TaughtPlace(base).fill(tmp_path / "b.db", ["bath runs"]))
    assert manifest_of(again).labels == [*format2_bundle.LABELS, *PUBLISHED, *OWN, "bath runs"]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("doorbell", "doorbell is a label of kettles already"),
        ("loud", "loud is a label of kettles already"),
        ("garage: half", "garage is a group of states of kettles already"),
    ],
)
def test_a_published_label_is_not_fitted_again(tmp_path: Path, label: str, reason: str) -> None:
    base = published(tmp_path)
    store = TaughtPlace(base).fill(tmp_path / "teaching.db", [label, "letterbox"], presses=2)
    request = FitRequest(database=str(store), base=str(base), target=str(tmp_path / "local"), version="1.0.0+taught.1")
    answer = fit_bundle(request)
    assert answer.report is not None
    assert f"{label} is not fitted: {reason}" in answer.report.notes
    assert manifest_of(tmp_path / "local").labels == [*format2_bundle.LABELS, *PUBLISHED, "letterbox"]


def test_where_labels_exclude_each_other_published_ones_count_as_the_base(tmp_path: Path) -> None:
    base = published(tmp_path, "exclusive")
    place = TaughtPlace(base)
    vectors, head = place.vectors("nothing"), load_head(place.bundle)
    logits = HeadLogits(head, place.bundle.manifest)
    moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in vectors.items()})
    taught = {"hall": [0], "kitchen": [1], "attic": [], None: [0, 1]}
    for stream, scope in taught.items():
        found = logits(vectors, stream)
        scores = head.recognise(moment, np.array(scope, np.intp)).scores
        np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(), scores, atol=1e-5)


def test_a_head_that_does_not_fit_to_its_cases_is_refused(tmp_path: Path) -> None:
    base = published(tmp_path)
    teach(tmp_path / "corner", tmp_path / "other", PUBLISHED, scale=5)
    (base / "taught.tflite").write_bytes((tmp_path / "other" / "taught.tflite").read_bytes())
    with pytest.raises(BundleError, match=r"taught\.tflite: is not linear, or does not fit to taught\.npz"):
        load_inherited(load_bundle(base))


@pytest.mark.parametrize(
    ("version", "inherited", "reason"),
    [
        ("1.0.0+taught.1", ["tap runs"], "expected the first of `labels`, in their order"),
        ("1.0.0", ["doorbell"], r"only a version such as 1\.0\.0\+taught\.1 has it"),
    ],
)
def test_inherited_labels_are_the_first_of_a_local_version(
    tmp_path: Path, version: str, inherited: list[str], reason: str
) -> None:
    path = published(tmp_path) / "bundle.yaml"
    value = yaml.safe_load(path.read_text())
    value["version"], value["taught"]["inherited"] = version, inherited
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(DocumentError, match=rf"taught\.inherited = .*: {reason}"):
        load_bundle(path.parent)
