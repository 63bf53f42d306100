"""Trains the encoders and the head, and writes models/digits and its float32 twin."""

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
from training.fusion import fit_head, start_threshold
from training.heard import listen
from training.specs import LABELS, SEED

DATA = Path("../shared/datasets")
BUILD = Path("build/digits")
FLOAT = Path("build/digits-float")
"""The same weights before they were converted to int8; only scripts/evaluate-digits needs them."""
TARGET = Path("models/digits")


def main() -> int:
    """Everything from data to bundle; about 50 minutes on two cores."""
    if not DATA.is_dir():
        print(f"scripts/train: no data sets at {DATA}; see docs/models.md", file=sys.stderr)
        return 1
    for directory in (BUILD, FLOAT):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    # the image encoder takes as long as the two others
    _side_by_side(partial(_timed, "image", images.train, DATA, *_both("image")), _sound_and_text)
    _side_by_side(*(partial(_timed, f"head of {directory}", _finish, directory) for directory in (BUILD, FLOAT)))
    _install()
    return 0


def _side_by_side(*jobs: Callable[[], None]) -> None:
    """Both, one process on each of two cores."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()


def _sound_and_text() -> None:
    _timed("audio", audios.train, audios.load_listener(DATA), *_both("audio"))
    _timed("text", texts.train, *_both("text"))


def _both(name: str) -> tuple[Path, Path]:
    """Where the int8 model and its float32 twin belong."""
    return BUILD / f"{name}.tflite", FLOAT / f"{name}.tflite"


def _finish(directory: Path) -> None:
    """Fit the head to what these encoders say, and make them a bundle."""
    heard = listen(directory, DATA)
    weights, bias = fit_head(heard, SEED)
    (directory / "head.tflite").write_bytes(write_head(weights, bias, [len(LABELS)] * len(heard)))
    bundle.write_manifest(directory, start_threshold(heard, weights, bias))
    bundle.write_selftest(directory)


def _timed(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call it, and say how long that took."""
    start = time.monotonic()
    function(*arguments)
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


def _install() -> None:
    """Take the place of what the bundle was; its demo and licence text stay."""
    shutil.rmtree(TARGET / "selftest", ignore_errors=True)
    shutil.copytree(BUILD, TARGET, dirs_exist_ok=True)
