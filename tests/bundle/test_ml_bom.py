"""The ML-BOM of a bundle: valid by the schema of CycloneDX, and true of the files."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from training.ml_bom import CARD, DIGITS, write_ml_bom_of

from daemon.bundle.bundle import load_bundle
from daemon.bundle.ml_bom import ml_bom
from daemon.bundle.ml_bom_file import read_card, write_ml_bom
from daemon.bundle.ml_bom_reader import card_of, differences
from daemon.bundle.model_card import DataSet, Figure, ModelCard
from daemon.bundle.release import FileEntry
from daemon.pipeline.taught_bundle import export_bundle
from tests.helpers import format2_bundle
from tests.helpers.bill import assert_valid
from tests.helpers.taught import on_streams, teach

ROOT = Path(__file__).parents[2]
ML_BOM = "ml-bom.cdx.json"
CARDS = [CARD, ROOT / "models/home/card.yaml", ROOT / "models/home-coral/card.yaml"]

FULL = ModelCard(
    purpose="shows it",
    limits=["one at a time", "in English"],
    data=[
        DataSet(name="MNIST", licence="CC-BY-SA-3.0", used_for="training", models=["image.tflite"]),
        DataSet(name="pictures", licence="only for research", used_for="measuring"),
    ],
    figures=[
        Figure(what="accuracy", value="99.3 %", of="centred", interval=["98.8 %", "99.6 %"]),
        Figure(what="size", value="469 KB"),
    ],
)


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    bundle = format2_bundle.write_bundle(tmp_path / "corner")
    write_ml_bom(bundle, load_bundle(bundle).manifest, FULL)
    return bundle


def document(directory: Path) -> Any:
    return json.loads((directory / ML_BOM).read_bytes())


def by_name(directory: Path) -> dict[str, Any]:
    return {component["name"]: component for component in document(directory)["components"]}


def entry(path: str, sha256: str = "a" * 64) -> FileEntry:
    return FileEntry(path=path, length=1, sha256=sha256)


def test_that_of_the_shipped_bundle_is_what_the_script_writes(tmp_path: Path) -> None:
    copy = tmp_path / "digits"
    for path in (path for path in DIGITS.rglob("*") if path.is_file() and "demo" not in path.parts):
        (copy / path.relative_to(DIGITS)).parent.mkdir(parents=True, exist_ok=True)
        (copy / path.relative_to(DIGITS)).write_bytes(path.read_bytes())
    (copy / ML_BOM).unlink()
    write_ml_bom_of(copy)
    content = (DIGITS / ML_BOM).read_bytes()
    assert (copy / ML_BOM).read_bytes() == content, "run: cd scripts && python -m training.ml_bom"
    assert_valid(content)
    assert set(by_name(DIGITS)) >= {"LICENCE", "bundle.yaml", "head.tflite", "selftest/cases.yaml", "MNIST"}
    image = by_name(DIGITS)["image.tflite"]
    assert image["licenses"] == [{"expression": "CC-BY-SA-4.0"}]
    assert image["modelCard"]["modelParameters"]["inputs"] == [
        {"format": "image: picture grey, int8 1 x 120 x 160 x 1"}
    ]


@pytest.mark.parametrize("card", CARDS, ids=[card.parent.name for card in CARDS])
def test_the_figures_of_a_card_are_those_of_the_page(card: Path) -> None:
    page = (ROOT / "docs/models.md").read_text()
    for figure in yaml.safe_load(card.read_text()).get("figures", []):
        number = figure["value"].removesuffix(" %")
        assert number in page, figure
        if " %" in figure["value"] and "interval" in figure:
            low, high = (bound.removesuffix(" %") for bound in figure["interval"])
            assert f"{low} to {high}" in page, figure


def test_a_bundle_with_several_encoders_is_described(corner: Path) -> None:
    assert_valid((corner / ML_BOM).read_bytes())
    assert {name for name, one in by_name(corner).items() if "modelCard" in one} == {
        path.name for path in corner.glob("*.tflite")
    }


def test_sources_are_named_with_their_hashes_and_are_not_files_of_the_bundle(tmp_path: Path) -> None:
    manifest = load_bundle(format2_bundle.write_bundle(tmp_path / "corner")).manifest
    made_of = {"recipe": f"sha256:{'b' * 64}", "source yamnet": f"sha256:{'c' * 64}", "seed": "20261123"}
    files = [entry("bundle.yaml"), entry("head.tflite")]
    content = ml_bom(manifest.model_copy(update={"provenance": made_of}), files)
    assert_valid(content)
    excluded = {one["name"]: one["hashes"][0]["content"] for one in json.loads(content)["components"] if "scope" in one}
    assert excluded == {"recipe": "b" * 64, "yamnet": "c" * 64}
    assert differences(content, files) == []


def test_a_model_card_can_be_read_back(corner: Path) -> None:
    assert read_card(corner) == FULL
    manifest = load_bundle(corner).manifest
    assert card_of(ml_bom(manifest, [entry("bundle.yaml")])) == ModelCard()


def test_equal_bundles_have_equal_documents(corner: Path) -> None:
    before = (corner / ML_BOM).read_bytes()
    write_ml_bom(corner, load_bundle(corner).manifest, FULL)
    assert (corner / ML_BOM).read_bytes() == before
    write_ml_bom(corner, load_bundle(corner).manifest, None)
    assert document(corner)["serialNumber"] != json.loads(before)["serialNumber"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([entry("bundle.yaml"), entry("head.tflite")], []),
        ([entry("bundle.yaml"), entry("head.tflite"), entry("more.tflite")], ["it does not name more.tflite"]),
        ([entry("bundle.yaml")], ["it names head.tflite, which is not there"]),
        ([entry("bundle.yaml"), entry("head.tflite", "b" * 64)], ["it names another sha256 of head.tflite"]),
    ],
)
def test_what_differs_from_the_files_is_said(tmp_path: Path, files: list[FileEntry], said: list[str]) -> None:
    manifest = load_bundle(format2_bundle.write_bundle(tmp_path / "corner")).manifest
    assert differences(ml_bom(manifest, [entry("bundle.yaml"), entry("head.tflite")]), files) == said


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"components": 1}', b'{"components": [{"type": "file"}]}', b"[" * 100_000],
    ids=["empty", "no text", "a list", "no keys", "a number", "half", "nested"],
)
def test_what_is_no_ml_bom_is_refused(content: bytes) -> None:
    for read in (card_of, lambda text: differences(text, [])):
        with pytest.raises(ValueError, match="is no ML-BOM of a bundle"):
            read(content)


def test_a_bundle_that_was_taught_has_the_card_of_its_base(corner: Path, tmp_path: Path) -> None:
    teach(corner, tmp_path / "taught", {"kettle boils": on_streams("hall")})
    export_bundle(tmp_path / "taught", tmp_path / "export", "our-corner", "1.0.0")
    for name in ("taught", "export"):
        assert read_card(tmp_path / name) == FULL
        assert_valid((tmp_path / name / ML_BOM).read_bytes())
        assert "taught.tflite" in by_name(tmp_path / name)
    assert document(tmp_path / "export")["metadata"]["component"]["name"] == "our-corner"


def test_one_that_others_have_made_is_left_out_when_a_bundle_is_taught(corner: Path, tmp_path: Path) -> None:
    (corner / ML_BOM).write_text("{}")
    teach(corner, tmp_path / "taught", {"kettle boils": on_streams("hall")})
    assert not (tmp_path / "taught" / ML_BOM).exists()
