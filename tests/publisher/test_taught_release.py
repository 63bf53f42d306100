"""Bundles with taught labels that are published: only under a version of their own, and for those who read them."""

from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.core.errors import BundleError
from daemon.pipeline.taught_bundle import export_bundle
from daemon.publisher.contents import describe_release
from tests.helpers import format2_bundle
from tests.helpers.taught import on_streams, teach


def test_a_local_version_is_not_published_and_its_export_is(tmp_path: Path) -> None:
    teach(format2_bundle.write_bundle(tmp_path / "corner"), tmp_path / "taught", {"kettle boils": on_streams("hall")})
    manifest = load_bundle(tmp_path / "taught").manifest
    with pytest.raises(BundleError, match=r"corner@1\.0\.0\+taught\.1 was taught to a node; `perceptd teach export`"):
        describe_release(tmp_path / "taught", manifest, "0.1.0", 16)
    export_bundle(tmp_path / "taught", tmp_path / "export", "our-corner", "1.0.0")
    release = describe_release(tmp_path / "export", load_bundle(tmp_path / "export").manifest, "0.1.0", 16)
    assert (release.id, release.signed.needs_perceptd) == ("our-corner@1.0.0", "0.6.0")
    assert {"taught.tflite", "taught.npz"} <= {entry.path for entry in release.files}
