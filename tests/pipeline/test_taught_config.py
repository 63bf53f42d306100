"""Thresholds of taught labels in the config: they count, and those of labels that are not there yet stop nothing."""

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.cli.main import main
from daemon.config.node import Config, fit_record, load_config, teaching_database
from daemon.core.document import Loaded
from daemon.core.errors import DocumentError
from daemon.node.bundle_updates import BundleLoader
from daemon.node.fit_record import FitRecord, FitRecordFile
from daemon.pipeline.recogniser import check_matches_config
from daemon.teaching.store import TeachingStore
from tests.helpers import format2_bundle
from tests.helpers.taught import on_streams, teach
from tests.teaching.records import background, example

LABELS = {"kettle boils": on_streams("kitchen"), "garage: open": on_streams("kitchen", state_of="garage")}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return format2_bundle.write_bundle(tmp_path / "corner")


def config(tmp_path: Path, *labels: str, stream: str = "kitchen") -> Loaded[Config]:
    """Return the config of a node whose stream has thresholds of these labels."""
    events = {"thresholds": {label: {"start": 0.9, "end": 0.5} for label in labels}}
    content: dict[str, Any] = {"node": "n", "bundle": "corner", "state_directory": str(tmp_path / "state")}
    content["streams"] = {stream: {"camera": {"device": 0}, "microphone": {}, "events": events}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    return load_config(tmp_path / "config.yaml")


def was_taught(tmp_path: Path) -> None:
    """Let the node have been taught something."""
    with contextlib.closing(TeachingStore(teaching_database(tmp_path / "state"))) as store:
        store.add_example(example())


def taught_manifest(base: Path, tmp_path: Path) -> Manifest:
    teach(base, tmp_path / "taught", LABELS)
    return load_bundle(tmp_path / "taught").manifest


def test_a_taught_label_may_have_thresholds_where_it_applies(base: Path, tmp_path: Path) -> None:
    manifest = taught_manifest(base, tmp_path)
    check_matches_config(manifest, config(tmp_path, "kettle boils", "loud"))
    with pytest.raises(DocumentError, match=r"kettle boils: corner@1\.0\.0\+taught\.1 makes no event of it"):
        check_matches_config(manifest, config(tmp_path, "kettle boils", stream="hall"))


@pytest.mark.parametrize("label", ["kettel boils", "none"])
@pytest.mark.parametrize("has_run", [False, True])
def test_a_label_that_nobody_has_taught_is_refused(base: Path, tmp_path: Path, label: str, has_run: bool) -> None:
    if has_run:
        with contextlib.closing(TeachingStore(teaching_database(tmp_path / "state"))) as store:
            store.add_background(background())
    with pytest.raises(DocumentError, match=r"makes no event of it; expected one of bright, left, loud$"):
        check_matches_config(load_bundle(base).manifest, config(tmp_path, label))


def test_the_base_starts_with_thresholds_of_labels_that_were_taught_later(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    was_taught(tmp_path)
    loader = BundleLoader(config(tmp_path, "kettle boils"))
    with caplog.at_level(logging.WARNING):
        loader.check(load_bundle(base).manifest)
    found = (
        "config.yaml:10: streams.kitchen.events.thresholds.kettle boils: corner@1.0.0 makes no event of it; expected"
    )
    assert found in caplog.text
    assert "it counts while the bundle has this label" in caplog.text


def test_a_threshold_may_outlive_the_label_and_the_store(base: Path, tmp_path: Path) -> None:
    manifest, loaded = load_bundle(base).manifest, config(tmp_path, "kettle boils")
    was_taught(tmp_path)
    database = teaching_database(tmp_path / "state")
    with contextlib.closing(TeachingStore(database)) as store:
        store.forget_label("kettle boils")
    check_matches_config(manifest, loaded)
    database.write_bytes(b"damaged")
    check_matches_config(manifest, loaded)
    database.unlink()
    FitRecordFile(fit_record(tmp_path / "state")).save(FitRecord())
    check_matches_config(manifest, loaded)


@pytest.mark.parametrize("label", ["none", "garage: open"])
def test_background_and_states_have_no_thresholds_of_events(base: Path, tmp_path: Path, label: str) -> None:
    was_taught(tmp_path)
    with pytest.raises(DocumentError) as refusal:
        check_matches_config(taught_manifest(base, tmp_path), config(tmp_path, label))
    assert len(refusal.value.problems) == 1
    assert "expected one of bright, left, loud, kettle boils" in refusal.value.problems[0]


def test_a_state_directory_that_cannot_be_seen_refuses_nothing(base: Path, tmp_path: Path) -> None:
    loaded = config(tmp_path, "kettle boils")
    hidden = loaded.document.model_copy(update={"state_directory": "a" * 300})  # no path can have such a part
    check_matches_config(load_bundle(base).manifest, replace(loaded, document=hidden))


def test_bundle_show_tells_what_was_taught(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teach(base, tmp_path / "taught", LABELS)
    assert main(["bundle", "show", str(tmp_path / "taught")]) == 0
    shown = capsys.readouterr().out
    assert "corner@1.0.0+taught.1: " in shown
    assert "labels      bright, left, loud, none\n" in shown
    assert "taught      kettle boils: in kitchen start at 0.8, end below 0.5\n" in shown
    assert "            garage: open: a state of garage; in kitchen start at 0.8, end below 0.5\n" in shown
    assert main(["bundle", "verify", str(tmp_path / "taught")]) == 0
    assert capsys.readouterr().out == "corner@1.0.0+taught.1: good\n"
