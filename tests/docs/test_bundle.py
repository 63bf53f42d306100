"""The manifests in bundle.md are valid."""

from pathlib import Path

import pytest

from daemon.bundle.encoder_specs import LOG_FLOOR, OutputSpec
from daemon.bundle.manifest import MAX_FEATURES, Manifest
from daemon.bundle.model_card import ModelCard
from daemon.bundle.release import FORMAT_2_SINCE
from daemon.core.document import parse_document
from tests.docs.pages import DOCS, block


@pytest.mark.parametrize(("first_line", "encoders"), [("format: 1", ["image", "audio", "text"]), ("format: 2", None)])
def test_the_manifests_on_the_page_are_valid(first_line: str, encoders: list[str] | None) -> None:
    text = block("bundle.md", first_line)
    manifest = parse_document(Path("bundle.yaml"), text.encode(), Manifest).document
    assert list(manifest.encoder_specs) == (encoders or ["scene", "sound"])


def test_the_numbers_on_the_page_are_those_of_the_schema() -> None:
    page = (DOCS / "bundle.md").read_text()
    assert f"at most {MAX_FEATURES:,} numbers" in page
    assert f"`floor` is {LOG_FLOOR:g} by default" in page.replace("1e-6", "1e-06")
    assert OutputSpec(shape=[1], dtype="float32").factor == 1
    assert f"perceptd reads format 2 from version {FORMAT_2_SINCE} on" in page


def test_the_model_card_on_the_page_is_valid() -> None:
    text = block("own-models.md", "purpose: Says")
    card = parse_document(Path("card.yaml"), text.encode(), ModelCard).document
    assert [data.models for data in card.data] == [["head.tflite"]]
