"""Bundles with taught labels: written, loaded, recognising, and their self-test."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.bundle.release import BundleFiles, BundleInfo, FileEntry, oldest_perceptd
from daemon.config.streams import EventsConfig
from daemon.core.errors import BundleError, DocumentError, Refused
from daemon.core.records import Scoring
from daemon.pipeline.heads import load_head
from daemon.pipeline.recogniser import event_settings, load_recogniser
from daemon.pipeline.selftest import run_selftest
from daemon.pipeline.taught_bundle import export_bundle, write_taught_bundle
from daemon.pipeline.training_set import known_vectors
from daemon.pipeline.trial import check_matches_release
from tests.helpers import format2_bundle
from tests.helpers.taught import THRESHOLD, on_streams, random_fit, random_moment, teach

LABELS = {"kettle boils": on_streams("kitchen"), "letterbox": on_streams("hall", "kitchen")}
STATES = {f"garage: {state}": on_streams("yard", state_of="garage") for state in ("open", "closed")}
BASE = len(format2_bundle.LABELS)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return format2_bundle.write_bundle(tmp_path / "corner")


@pytest.fixture
def taught(base: Path, tmp_path: Path) -> Path:
    teach(base, tmp_path / "taught", LABELS)
    return tmp_path / "taught"


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def selftest(directory: Path) -> list[str]:
    bundle = load_bundle(directory)
    return run_selftest(bundle, load_recogniser(bundle))


def change(directory: Path, key: str, value: object) -> None:
    """Change a key of the manifest's part about taught labels."""
    manifest = yaml.safe_load((directory / "bundle.yaml").read_text())
    manifest["taught"][key] = value
    (directory / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def test_it_is_a_complete_copy_of_its_base_with_a_second_head(base: Path, taught: Path) -> None:
    before, after = files(base), files(taught)
    assert set(after) == set(before) | {"taught.tflite", "taught.npz"}
    assert all(after[name] == content for name, content in before.items() if name != "bundle.yaml")
    manifest = load_bundle(taught).manifest
    assert manifest.id == "corner@1.0.0+taught.1"
    assert manifest.labels == [*format2_bundle.LABELS, *LABELS]
    assert manifest.taught is not None
    assert manifest.taught.labels == LABELS
    assert oldest_perceptd(manifest, "0.1.0") == "0.6.0"
    rest = {"version": "1.0.0", "labels": format2_bundle.LABELS, "taught": None}
    assert manifest.model_copy(update=rest) == load_bundle(base).manifest
    assert selftest(taught) == []


def test_equal_input_gives_equal_bytes(base: Path, taught: Path, tmp_path: Path) -> None:
    teach(base, tmp_path / "again", LABELS)
    assert files(tmp_path / "again") == files(taught)


def test_what_a_base_was_taught_before_is_replaced(base: Path, taught: Path, tmp_path: Path) -> None:
    teach(taught, tmp_path / "second", STATES, version="1.0.0+taught.2")
    teach(base, tmp_path / "direct", STATES, version="1.0.0+taught.2")
    assert files(tmp_path / "second") == files(tmp_path / "direct")


def test_an_export_has_a_name_and_a_version_of_its_own(taught: Path, tmp_path: Path) -> None:
    export_bundle(taught, tmp_path / "export", "our-home", "2.1.0")
    manifest, before = load_bundle(tmp_path / "export").manifest, load_bundle(taught).manifest
    assert manifest == before.model_copy(update={"name": "our-home", "version": "2.1.0"})
    content, own = files(tmp_path / "export"), files(taught)
    assert {name for name in own if content[name] != own[name]} == {"bundle.yaml"}
    assert selftest(tmp_path / "export") == []


@pytest.mark.parametrize("scoring", ["independent", "exclusive"])
def test_the_base_scores_as_before(tmp_path: Path, scoring: Scoring) -> None:
    base = format2_bundle.write_bundle(tmp_path / "corner", scoring)
    teach(base, tmp_path / "taught", LABELS)
    before, after = load_head(load_bundle(base)), load_head(load_bundle(tmp_path / "taught"))
    manifest = load_bundle(base).manifest
    for seed in range(20):
        moment = random_moment(manifest, seed)
        old, new = before.recognise(moment).scores, after.recognise(moment).scores
        if scoring == "independent":
            np.testing.assert_array_equal(new[: BASE - 1], old[:-1])
        else:
            np.testing.assert_allclose(new[:BASE] / new[:BASE].sum(), old, atol=1e-5)


@pytest.mark.parametrize("scoring", ["independent", "exclusive"])
def test_the_selftest_of_a_taught_bundle_is_that_of_its_base(tmp_path: Path, scoring: Scoring) -> None:
    base = format2_bundle.write_bundle(tmp_path / "corner", scoring)
    # these labels win at every moment, so that no score of the base is left where all labels exclude each other
    fitted = random_fit(base, LABELS)
    fitted.weights[:], fitted.bias[:] = 0, 12
    write_taught_bundle(base, tmp_path / "taught", "1.0.0+taught.1", fitted, np.ones((1, fitted.weights.shape[1])))
    assert selftest(tmp_path / "taught") == selftest(base)


def test_a_stream_has_the_labels_that_apply_to_it(base: Path, tmp_path: Path) -> None:
    teach(base, tmp_path / "taught", LABELS | STATES)
    manifest = load_bundle(tmp_path / "taught").manifest
    expected = {
        "kitchen": ["kettle boils", "letterbox"],
        "hall": ["letterbox"],
        "yard": ["garage: open", "garage: closed"],
        "attic": [],
    }
    for stream, labels in expected.items():
        settings = event_settings(manifest, EventsConfig(), stream)
        assert settings.labels == manifest.labels_in(stream) == [*format2_bundle.LABELS, *labels]
        assert list(settings.makes_events) == [True, True, True, False, *(stream != "yard" for _ in labels)]
        assert [float(start) for start in settings.start[BASE:]] == pytest.approx([THRESHOLD.start] * len(labels))


def test_the_config_has_the_last_word_about_thresholds(base: Path, taught: Path) -> None:
    config = EventsConfig.model_validate({"thresholds": {"letterbox": {"start": 0.95, "end": 0.6}}})
    settings = event_settings(load_bundle(taught).manifest, config, "hall")
    assert (float(settings.start[-1]), float(settings.end[-1])) == pytest.approx((0.95, 0.6))


def test_a_damaged_file_of_an_installed_base_is_not_copied(base: Path, tmp_path: Path) -> None:
    entries = [
        f"{hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
        for name, content in sorted(files(base).items())
    ]
    listing = "".join(entries).encode()
    (base / "files.txt").write_bytes(listing)
    sha256 = hashlib.sha256(listing).hexdigest()
    fitted = random_fit(base, LABELS)
    cases = np.ones((1, fitted.weights.shape[1]), np.float32)
    write_taught_bundle(base, tmp_path / "good", "1.0.0+taught.1", fitted, cases, sha256)
    (base / "selftest" / "white.png").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"white\.png is damaged: it differs from what was installed"):
        write_taught_bundle(base, tmp_path / "bad", "1.0.0+taught.1", fitted, cases, sha256)
    assert not (tmp_path / "bad").exists()


def test_a_name_that_the_base_has_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"loud is a label of corner already; teach another name"):
        teach(base, tmp_path / "taught", {"loud": on_streams("hall")})


@pytest.mark.parametrize("file", ["taught.tflite", "taught.npz"])
def test_a_file_that_is_missing_is_named(taught: Path, file: str) -> None:
    (taught / file).unlink()
    with pytest.raises(BundleError, match=rf"bundle\.yaml:\d+: taught\.\w+: no file {file}"):
        load_bundle(taught)


def test_a_head_of_another_base_is_refused(taught: Path, tmp_path: Path) -> None:
    labels = {"one": on_streams("hall")}
    teach(format2_bundle.write_bundle(tmp_path / "other"), tmp_path / "others", labels)
    (taught / "taught.tflite").write_bytes((tmp_path / "others" / "taught.tflite").read_bytes())
    with pytest.raises(BundleError, match=r"taught\.model: .* has outputs of shape"):
        load_recogniser(load_bundle(taught))


def test_the_selftest_finds_a_head_that_was_changed(base: Path, taught: Path, tmp_path: Path) -> None:
    fitted = random_fit(base, LABELS, seed=8)
    write_taught_bundle(
        base, tmp_path / "b", "1.0.0+taught.1", fitted, np.ones((1, fitted.weights.shape[1]), np.float32)
    )
    (taught / "taught.tflite").write_bytes((tmp_path / "b" / "taught.tflite").read_bytes())
    failures = selftest(taught)
    assert any(failure.startswith("taught.npz: case 0: ") for failure in failures)


GOOD: dict[str, Any] = {
    "bias": np.zeros(2, np.float32),
    "features": np.zeros((1, 11), np.float32),
    "scores": np.full((1, 2), 0.5, np.float32),
}
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"bias": np.zeros(3, np.float32)}, r"an array bias of finite float32 numbers, of shape \[2\]"),
    ({"bias": np.full(2, np.nan, np.float32)}, "an array bias of finite"),
    ({"features": np.zeros((1, 3), np.float32)}, r"an array features of finite float32 numbers, of shape \[n, 11\]"),
    ({"features": np.zeros((1, 11))}, "an array features of finite"),
    ({"features": np.array([["text"] * 11])}, "an array features of finite"),
    ({"features": np.zeros((0, 11), np.float32), "scores": np.zeros((0, 2), np.float32)}, "has 0 rows"),
    ({"features": np.full((1, 11), np.inf, np.float32)}, "an array features of finite"),
    ({"scores": np.zeros(2, np.float32)}, "an array scores of finite"),
    ({"scores": np.full((1, 2), np.nan, np.float32)}, "an array scores of finite"),
    ({"features": np.zeros((2, 11), np.float32)}, "has 2 rows of features and 1 of scores, expected as many"),
    ({"features": np.array([[{}] * 11], object)}, "cannot be read"),
    ({"features": np.zeros((800_000, 11), np.float32)}, "unpacks to more than"),
]


@pytest.mark.parametrize(("arrays", "reason"), HOSTILE)
def test_cases_that_cannot_be_used_are_refused(taught: Path, arrays: dict[str, Any], reason: str) -> None:
    np.savez_compressed(taught / "taught.npz", **GOOD | arrays)
    with pytest.raises(Refused, match=reason):
        load_recogniser(load_bundle(taught))


@pytest.mark.parametrize("name", list(GOOD))
def test_cases_without_an_array_are_refused(taught: Path, name: str) -> None:
    np.savez_compressed(taught / "taught.npz", **{key: array for key, array in GOOD.items() if key != name})
    with pytest.raises(Refused, match=f"expected an array {name} of finite"):
        load_recogniser(load_bundle(taught))


def test_a_bias_that_is_not_that_of_the_head_is_found(taught: Path) -> None:
    with np.load(taught / "taught.npz") as stored:
        arrays = dict(stored)
    np.savez_compressed(taught / "taught.npz", **arrays | {"bias": arrays["bias"] + np.float32(1)})
    assert "taught.npz: case 0: bias and shares of kettle boils do not give its score" in selftest(taught)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"text"])
def test_cases_that_are_no_archive_are_refused(taught: Path, content: bytes) -> None:
    (taught / "taught.npz").write_bytes(content)
    with pytest.raises(Refused, match=r"taught\.npz: cannot be read: expected arrays"):
        load_recogniser(load_bundle(taught))


def test_a_case_of_the_base_names_labels_of_the_base(taught: Path) -> None:
    cases = {"cases": [{"image": "white.png", "scores": {"letterbox": 0.5}}]}
    (taught / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    with pytest.raises(BundleError, match=r"expects scores of \['letterbox'\], which are not here"):
        selftest(taught)


def test_a_file_name_that_leads_elsewhere_is_refused(taught: Path) -> None:
    change(taught, "cases", "../other.npz")
    with pytest.raises(DocumentError, match=r"taught\.cases = '\.\./other\.npz': expected the plain name"):
        load_bundle(taught)


def test_a_manifest_is_written_back_as_it_was(base: Path, taught: Path, tmp_path: Path) -> None:
    before = load_bundle(base).manifest
    again = Manifest.model_validate(json.loads(before.model_dump_json(exclude_unset=True)))
    assert again == before


def test_a_base_may_have_no_selftest(base: Path, tmp_path: Path) -> None:
    shutil.rmtree(base / "selftest")
    teach(base, tmp_path / "taught", LABELS)
    assert known_vectors(load_recogniser(load_bundle(base))) == []
    assert selftest(tmp_path / "taught") == []
    check_matches_release(release(tmp_path / "taught"), load_bundle(tmp_path / "taught"))
    with pytest.raises(DocumentError, match=r"cases\.yaml: cannot be read"):
        selftest(base)


@pytest.mark.parametrize("file", ["taught.tflite", "taught.npz", "selftest/white.png"])
def test_the_trial_refuses_files_that_are_not_listed(taught: Path, file: str) -> None:
    complete = release(taught)
    check_matches_release(complete, load_bundle(taught))
    cut = complete.model_copy(update={"files": tuple(entry for entry in complete.files if entry.path != file)})
    with pytest.raises(BundleError, match=rf"{file} is not in its list of files"):
        check_matches_release(cut, load_bundle(taught))


def release(directory: Path) -> BundleFiles:
    """Return the files of a bundle that a node has made."""
    entries = [
        FileEntry(path=name, length=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files(directory).items())
    ]
    manifest = load_bundle(directory).manifest
    info = BundleInfo(name=manifest.name, version=manifest.version, needs_perceptd="0.6.0", memory_mb=16)
    return BundleFiles(signed=info, files=tuple(entries))
