"""A bundle on disk must be the signed release, use signed files only, and have a case for every model."""

from pathlib import Path

import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.release import Release
from daemon.core.errors import BundleError
from daemon.pipeline.trial import check_matches_release
from tests.helpers.bundle_builder import manifest, release_of, write_bundle


def refusal(directory: Path, release: Release) -> str:
    with pytest.raises(BundleError) as caught:
        check_matches_release(release, load_bundle(directory))
    return str(caught.value).replace(str(directory), "DIR").partition(": ")[2]


def without(release: Release, path: str) -> Release:
    return release.model_copy(update={"files": tuple(entry for entry in release.files if entry.path != path)})


def test_a_bundle_matches_the_release_that_was_signed(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    check_matches_release(release_of(bundle), load_bundle(bundle))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"name": "darkness"}, "name: is brightness, but was listed as darkness"),
        ({"version": "1.2.4"}, "version: is 1.2.3, but was listed as 1.2.4"),
    ],
)
def test_another_name_or_version_is_refused(tmp_path: Path, named: dict[str, str], message: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    assert refusal(bundle, release_of(bundle, **named)) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("image.tflite", "modalities.image.model: image.tflite is not in its list of files"),
        ("twin.tflite", "modalities.image.edgetpu: twin.tflite is not in its list of files"),
        ("head.tflite", "head.model: head.tflite is not in its list of files"),
        ("selftest/white.png", "selftest: selftest/white.png is not in its list of files"),
        ("selftest/cases.yaml", "selftest: there is no selftest/cases.yaml; a bundle without a self-test is refused"),
    ],
)
def test_a_file_that_was_not_signed_is_not_used(tmp_path: Path, path: str, message: str) -> None:
    image = {**manifest()["modalities"]["image"], "edgetpu": "twin.tflite"}
    bundle = write_bundle(tmp_path / "bundle", modalities={"image": image})
    (bundle / "twin.tflite").write_bytes((bundle / "image.tflite").read_bytes())
    assert refusal(bundle, without(release_of(bundle), path)) == message


def test_every_model_needs_a_case(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cases = {"cases": [{"text": "a line", "scores": {"bright": 1.0}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    message = "selftest: no case has image, so its model is not tested"
    assert refusal(bundle, release_of(bundle)) == message
