"""`perceptd evaluate` scores a bundle on labelled files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.cli.main import main
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.clips import write_clip

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    for name, level in (("white", 255), ("pale", 200), ("black", 0)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((20, 30, 3), level, np.uint8))
    return tmp_path


def evaluate(directory: Path, rows: str, *arguments: str) -> int:
    (directory / "test.csv").write_text("image,audio,text,label\n" + rows)
    return main(["evaluate", str(directory / "bundle"), str(directory / "test.csv"), *arguments])


def test_accuracy_confusion_and_accuracy_by_modalities_are_printed(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "white.png,,,bright\nblack.png,,,dark\npale.png,,,dark\nblack.png,,some text,dark\n"
    assert evaluate(directory, rows, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "accuracy": 0.75,
        "count": 4,
        "by_modalities": {"image": {"accuracy": 2 / 3, "count": 3}, "image+text": {"accuracy": 1.0, "count": 1}},
        "confusion": {"bright": {"bright": 1}, "dark": {"bright": 1, "dark": 2}},
    }
    assert evaluate(directory, rows) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "accuracy 75.00% of 4"
    assert [line.split() for line in lines[-3:]] == [["bright", "dark"], ["bright", "1", "."], ["dark", "1", "2"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("white.png,,,light\n", "test.csv:2: label 'light'; expected one of dark, bright, nothing"),
        (",,,dark\n", "test.csv:2: at least one of image, audio, text must be given"),
        ("white.png,,,bright\nnone.png,,,dark\n", "none.png: cannot be read"),
        ("test.csv,,,dark\n", "test.csv: not a picture that can be decoded"),
        (",,only text,dark\n", "test.csv:2: none of the item's modalities is in the bundle"),
        ("", "test.csv: has no rows"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(
    directory: Path, capsys: pytest.CaptureFixture[str], rows: str, expected: str
) -> None:
    assert evaluate(directory, rows) == 78
    assert expected in capsys.readouterr().err


def test_a_sound_that_is_cut_off_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write_clip(tmp_path / "whole.mp4", picture=False, seconds=4.0, options={"movflags": "faststart"})
    content = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 4 // 5])
    (tmp_path / "test.csv").write_text("image,audio,text,label\n,whole.mp4,,7\n,cut.mp4,,7\n")
    assert main(["evaluate", str(DIGITS), str(tmp_path / "test.csv")]) == 78
    message = capsys.readouterr().err
    assert "test.csv:3: " in message
    assert "cut.mp4: the file is cut off" in message


def test_a_shipped_bundle_is_found_by_its_name_and_a_missing_csv_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "digits", "none.csv"]) == 78
    assert capsys.readouterr().err.endswith("none.csv: cannot be read: No such file or directory\n")
    assert main(["bundle", "show", "digits"]) == 0
    assert capsys.readouterr().out.startswith("digits@")
    assert main(["bundle", "verify", "digit"]) == 78
    message = capsys.readouterr().err
    assert message.startswith("digit: no bundle of this name in ") and "; there are digits" in message


def test_missing_columns_are_reported(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "other.csv").write_text("picture,label\nwhite.png,bright\n")
    assert main(["evaluate", str(directory / "bundle"), str(directory / "other.csv")]) == 78
    expected = "other.csv:1: expected the columns image,audio,text,label; missing: audio, image, text"
    assert expected in capsys.readouterr().err
