"""Trains the encoders and the head, and writes models/digits and the same bundle in float32."""

import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from daemon.inference.graphs import write_head
from training import audios, bundle, images, texts
from training.embeddings import embed_items
from training.fusion import fit_head, start_threshold
from training.ml_bom import write_ml_bom_of
from training.specs import LABELS, SEED

DATA = Path("../shared/datasets")
BUILD = Path("build/digits")
# The same weights before the conversion to int8. Only scripts/evaluate-digits needs them.
FLOAT = Path("build/digits-float")
TARGET = Path("models/digits")


def main() -> int:
    """Train everything, from data to bundle; about 50 minutes on two cores."""
    if not DATA.is_dir():
        print(f"scripts/train: no data sets in {DATA}. docs/models.md lists them.", file=sys.stderr)
        return 1
    for directory in (BUILD, FLOAT):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    # the image encoder takes as long as the two others together
    _side_by_side(partial(_timed, "image", images.train, DATA, *_both("image")), _sound_and_text)
    _side_by_side(*(partial(_timed, f"head of {directory}", _finish, directory) for directory in (BUILD, FLOAT)))
    _install()
    return 0


def _side_by_side(*jobs: Callable[[], None]) -> None:
    """Run two jobs at the same time, each in a process of its own."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()


def _sound_and_text() -> None:
    _timed("audio", audios.train, audios.load_listener(DATA), *_both("audio"))
    _timed("text", texts.train, *_both("text"))


def _both(name: str) -> tuple[Path, Path]:
    """Where the int8 model and the float32 model belong."""
    return BUILD / f"{name}.tflite", FLOAT / f"{name}.tflite"


def _finish(directory: Path) -> None:
    """Fit the head to these encoders' embeddings, and write manifest and self-test."""
    embedded = embed_items(directory, DATA)
    weights, bias = fit_head(embedded, SEED)
    (directory / "head.tflite").write_bytes(write_head(weights, bias, [len(LABELS)] * len(embedded)))
    bundle.write_manifest(directory, start_threshold(embedded, weights, bias))
    bundle.write_selftest(directory)


def _timed(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call the function, and print how long it took."""
    start = time.monotonic()
    function(*arguments)
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def _install() -> None:
    """Copy the new bundle over the old one. The demo and the licence text stay."""
    shutil.rmtree(TARGET / "selftest", ignore_errors=True)
    shutil.copytree(BUILD, TARGET, dirs_exist_ok=True)
    write_ml_bom_of(TARGET)
