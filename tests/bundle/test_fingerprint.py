"""The fingerprint of an encoder changes with what determines its vectors, and with nothing else."""

from pathlib import Path
from typing import Any

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.errors import BundleError
from tests.helpers.bundle_builder import write_bundle as write_format1
from tests.helpers.format2_bundle import LOG_MEL, manifest, write_bundle


def fingerprints(directory: Path, name: str = "scene", **changes: Any) -> dict[str, str]:
    encoders = manifest()["encoders"]
    encoders[name] = encoders[name] | changes
    return encoder_fingerprints(load_bundle(write_bundle(directory, encoders=encoders)))


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        ("scene", {"rate_hz": 4, "max_age_ms": 900}),
        ("sound", {"preprocessing": LOG_MEL | {"stride_frames": 2}}),
        ("sound", {"preprocessing": LOG_MEL | {"kind": "log_mel", "log_offset": 0.001}}),
        ("people", {"edgetpu": {"model": "people.tflite"}}),
    ],
)
def test_when_an_encoder_runs_changes_no_fingerprint(tmp_path: Path, encoder: str, changes: dict[str, Any]) -> None:
    assert fingerprints(tmp_path / "one") == fingerprints(tmp_path / "other", encoder, **changes)


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        ("scene", {"preprocessing": manifest()["encoders"]["scene"]["preprocessing"] | {"fit": "pad"}}),
        ("scene", {"model": "people.tflite"}),
        ("sound", {"preprocessing": LOG_MEL | {"mel_high_hz": 3500}}),
        ("sound", {"pool": {"seconds": 1, "of": ["mean"]}}),
        ("people", {"outputs": {"left": {"shape": [1, 1], "dtype": "float32", "factor": 2.0}}}),
    ],
)
def test_what_determines_a_vector_changes_the_fingerprint_of_this_encoder(
    tmp_path: Path, encoder: str, changes: dict[str, Any]
) -> None:
    before, after = fingerprints(tmp_path / "one"), fingerprints(tmp_path / "other", encoder, **changes)
    assert {name for name in before if before[name] != after[name]} == {encoder}


def test_encoders_of_one_fingerprint_may_have_other_names_and_files(tmp_path: Path) -> None:
    encoders = manifest()["encoders"]
    renamed = {"view" if name == "scene" else name: spec for name, spec in encoders.items()}
    renamed["view"] = renamed["view"] | {"model": "view.tflite"}
    directory = write_bundle(tmp_path / "other", encoders=renamed, version="2.0.0")
    (directory / "scene.tflite").rename(directory / "view.tflite")
    assert encoder_fingerprints(load_bundle(directory))["view"] == fingerprints(tmp_path / "one")["scene"]


def test_a_loaded_model_counts_and_not_the_file_that_replaced_it(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "corner"))
    before = encoder_fingerprints(bundle)
    for name in ("scene.tflite", "people.tflite", "sound.tflite"):
        bundle.model(name)
        bundle.file(name).write_bytes(b"another")
    assert encoder_fingerprints(bundle) == before


def test_both_formats_have_fingerprints_and_a_missing_model_is_named(tmp_path: Path) -> None:
    bundle = load_bundle(write_format1(tmp_path / "brightness"))
    assert encoder_fingerprints(bundle).keys() == {"image"}
    bundle.file("image.tflite").unlink()
    with pytest.raises(BundleError, match=r"bundle.yaml:\d+: .*image.tflite: cannot be read"):
        encoder_fingerprints(bundle)
