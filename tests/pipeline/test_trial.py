"""The child processes that try a bundle refuse a bad one, with stage and reason."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import yaml

from daemon.bundle.manifest import MANIFEST
from daemon.bundle.release import Release
from daemon.core.errors import ChildError
from daemon.inference.graphs import write_head
from daemon.pipeline import trial
from daemon.runtime.child import MAX_REASON_CHARS, Child
from daemon.updates.messages import CHECK_S, SELFTEST_S, CheckRequest, SelftestRequest
from daemon.updates.steps import bundle_failure
from tests.helpers import hostile_models
from tests.helpers.bundle_builder import SIDE, release_of, write_bundle, write_encoder

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
DIGITS_MB = 16  # what its self-test adds to the memory of a process

MEMORY_MB = 32
SHORT_S = 5.0  # the deadline of a self-test that never ends; a process starts in a second


class Outcome(NamedTuple):
    """The result of a trial. `stage` is the one that refused the bundle, or `passed`."""

    stage: str
    reason: str


PASSED = Outcome("passed", "")


def outcome_of(
    directory: Path, release: Release | None = None, config: Path | None = None, deadline_s: float = SELFTEST_S
) -> Outcome:
    """Try a bundle as the updater does: in one process for each stage, until one refuses."""
    release = release or release_of(directory, memory_mb=MEMORY_MB)
    memory_mb = release.signed.memory_mb
    request = SelftestRequest(release=release, directory=str(directory), memory_mb=memory_mb)
    check = CheckRequest(**dict(request), config=config and str(config))
    for stage, run, payload, most_s in (
        ("check", trial.answer_check, check, CHECK_S),
        ("selftest", trial.answer_selftest, request, deadline_s),
    ):
        with Child(run, payload.model_dump_json()) as child:
            try:
                answer = json.loads(child.result(most_s))
            except ChildError as error:
                return Outcome(stage, str(bundle_failure(error, memory_mb)))
        if not answer["ok"]:
            assert answer["kind"] == "bundle"
            return Outcome(stage, answer["reason"])
    return PASSED


def refused(directory: Path, **how: object) -> Outcome:
    """Return the outcome, which must be a refusal with a reason of one line."""
    outcome = outcome_of(directory, **how)  # type: ignore[arg-type]
    assert outcome.reason
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= MAX_REASON_CHARS
    assert str(directory) not in outcome.reason
    return outcome


def with_encoder(directory: Path, model: bytes) -> Path:
    """Return a bundle that is good but for its encoder."""
    bundle = write_bundle(directory / "bundle")
    (bundle / "image.tflite").write_bytes(model)
    return bundle


def digits(directory: Path) -> Path:
    """Return a copy of the shipped bundle."""
    return Path(shutil.copytree(DIGITS, directory / "digits", ignore=shutil.ignore_patterns("demo")))


def digits_release(bundle: Path) -> Release:
    """Return the release of the shipped bundle, or of a copy."""
    return release_of(bundle, "digits", yaml.safe_load((bundle / MANIFEST).read_text())["version"], DIGITS_MB)


def replaced(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def blank_png(side: int) -> bytes:
    """Return a black picture of side x side pixels, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row, packer = bytes(1 + (side + 7) // 8), zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit a pixel, grey
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_the_shipped_bundle_passes() -> None:
    assert outcome_of(DIGITS, digits_release(DIGITS), DIGITS.parent.parent / "config.yaml") == PASSED


def test_the_allowance_covers_a_large_picture(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cv2.imwrite(str(bundle / "selftest" / "white.png"), np.full((2448, 3264, 3), 255, np.uint8))
    assert outcome_of(bundle, release_of(bundle, memory_mb=1)) == PASSED


@pytest.mark.parametrize(
    ("model", "stage", "message"),
    [
        (hostile_models.unresolved, "check", "needs the operator OpenTheDoor, which is none of TFLite's own"),
        (hostile_models.split_into_none, "check", "its models crash the runtime: its process was ended by SIGSEGV"),
        (hostile_models.loop_in_itself, "check", "its models crash the runtime: its process was ended by SIGSEGV"),
        (hostile_models.tiled_to_8_gb, "check", "cannot be loaded: the runtime gives no reason; it may lack memory"),
        (
            hostile_models.filled_to_8_gb,
            "selftest",
            "cases.0: invoke failed: Node number 5 (FILL) failed to invoke; it had ",
        ),
    ],
)
def test_a_hostile_model_is_refused(tmp_path: Path, model: Callable[[], bytes], stage: str, message: str) -> None:
    outcome = refused(with_encoder(tmp_path, model()))
    assert outcome.stage == stage
    assert message in outcome.reason


def test_a_model_that_never_returns_is_ended_at_the_deadline(tmp_path: Path) -> None:
    outcome = refused(with_encoder(tmp_path, hostile_models.endless()), deadline_s=SHORT_S)
    assert outcome == ("selftest", "did not finish within 5 s")


def test_scores_of_nan_are_refused(tmp_path: Path) -> None:
    weights = np.full((2, SIDE * SIDE + 1), np.nan, np.float32)
    outcome = refused(with_encoder(tmp_path, write_encoder(weights, [1, SIDE, SIDE, 1])))
    assert outcome == ("selftest", "selftest/cases.yaml:2: cases.0: bright scored nan, expected 1.000 within 0.05")


def test_a_head_that_gives_nan_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "head.tflite").write_bytes(write_head(np.zeros((3, 3)), np.full(3, np.nan), [2]))
    assert refused(bundle).stage == "check"


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ("shape: [1, 120, 160, 1]", "shape: [1, 160, 120, 1]", "input of shape [1, 120, 160, 1], expected [1, 160, 12"),
        ("shape: [1, 48]", "shape: [1, 2147483647]", "text.tflite has an input of shape [1, 48], expected [1, 2147483"),
        ("scale: 0.0427016802", "scale: 0.0427", "audio.tflite has scale 0.0427016802, expected 0.0427"),
        ("zero_point: 34", "zero_point: 35", "audio.tflite has zero point 34, expected 35"),
        ("dtype: int8", "dtype: uint8", "image.tflite has an input of int8, expected uint8"),
        ("'9', none]", "none]", "10 labels do not match the head: head.tflite has outputs of shape [1, 11]"),
        ("name: digits", "name: letters", "bundle.yaml:2: name: is letters, but was listed as digits"),
        ("head.tflite", "../../head.tflite", "expected the plain name of a file in the bundle's directory"),
        ("head.tflite", "other.tflite", "bundle.yaml:48: head.model: other.tflite is not in its list of files"),
    ],
)
def test_a_manifest_that_differs_from_the_files_is_refused(
    tmp_path: Path, line: str, instead: str, message: str
) -> None:
    bundle = digits(tmp_path)
    release = digits_release(bundle)
    replaced(bundle / MANIFEST, line, instead)
    (bundle / "other.tflite").write_bytes((bundle / "head.tflite").read_bytes())
    outcome = refused(bundle, release=release)
    assert outcome.stage == "check"
    assert message in outcome.reason


@pytest.mark.parametrize(
    ("labels", "stage", "message"),
    [
        (["bright", "dark", "nothing"], "selftest", "cases.0: bright scored 0.000, expected 1.000 within 0.05"),
        (["dim", "light", "nothing"], "check", "expects scores of ['bright'], which are not here"),
        (["dark", "bright", "nothing", "more"], "check", "4 labels do not match the head: "),
    ],
)
def test_wrong_labels_are_refused(tmp_path: Path, labels: list[str], stage: str, message: str) -> None:
    outcome = refused(write_bundle(tmp_path / "bundle", labels=labels))
    assert outcome.stage == stage
    assert message in outcome.reason


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            {"thresholds": {"seven": {"start": 0.5, "end": 0.4}}},
            "streams.s.events.thresholds.seven: brightness@1.2.3 ma",
        ),
        ({}, ""),
    ],
)
def test_a_bundle_must_match_the_nodes_config(tmp_path: Path, events: dict, message: str) -> None:
    bundle, config = write_bundle(tmp_path / "bundle"), tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": "n", "bundle": "other", "streams": {"s": {"events": events}}}))
    outcome = outcome_of(bundle, config=config)
    assert outcome.stage == ("check" if message else "passed")
    assert message in outcome.reason


def test_a_config_that_cannot_be_read_is_no_fault_of_the_bundle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    request = CheckRequest(
        release=release_of(bundle, memory_mb=1),
        directory=str(bundle),
        memory_mb=MEMORY_MB,
        config=str(tmp_path / "none"),
    )
    with Child(trial.answer_check, request.model_dump_json()) as child:
        answer = json.loads(child.result(CHECK_S))
    assert (answer["ok"], answer["kind"]) == (False, "disk")
    assert answer["reason"].startswith("the node's config cannot be used: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "bundle.yaml:2: aliases (*) are not allowed"),
        ("[" * 100_000, "bundle.yaml: not YAML: "),
        ("# " + "x" * 2_000_000, "bundle.yaml: larger than 1000000 bytes"),
        (
            "labels: " + "[" * 250 + "x," * 30_000 + "x" + "]" * 250,
            "needs more than the 1 MB that its release declares",
        ),
        ("\0", "bundle.yaml: not YAML: "),
    ],
    ids=["aliases", "depth", "size", "many", "zero"],
)
def test_a_manifest_that_is_a_bomb_is_refused(tmp_path: Path, text: str, message: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    release = release_of(bundle, memory_mb=1)
    (bundle / MANIFEST).write_text(text)
    outcome = refused(bundle, release=release)
    assert outcome.stage == "check"
    assert outcome.reason.startswith(message)


def test_a_picture_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "selftest" / "white.png").write_bytes(blank_png(30_000))
    outcome = refused(bundle)
    assert outcome.stage == "selftest"
    assert outcome.reason.startswith("selftest/cases.yaml:2: cases.0: selftest/white.png: cannot be read: ")


def test_a_bundle_without_a_selftest_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "selftest" / "cases.yaml").unlink()
    outcome = refused(bundle)
    assert outcome.stage == "check"
    assert outcome.reason.endswith("there is no selftest/cases.yaml; a bundle without a self-test is refused")


@pytest.mark.parametrize(("off", "stage"), [(0.04, "passed"), (0.06, "selftest")])
def test_a_selftest_may_be_off_by_its_tolerance(tmp_path: Path, off: float, stage: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    replaced(bundle / "selftest" / "cases.yaml", "1.0", f"{1 - off:.2f}")
    assert outcome_of(bundle).stage == stage
