"""Trains the encoders and the head, writes models/digits, and prints figures on held-out data."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from daemon.inference.head import write_head
from training import audios, bundle, convert, images, speech, texts
from training.evaluation import HeldOut, evaluate
from training.fusion import Heard, fit_head, start_threshold
from training.lines import make_lines, to_ids
from training.patches import Listener
from training.pool import make_items
from training.scenes import Composer
from training.specs import EMBEDDING, SEED

DATA = Path("../shared/datasets")
BUILD = Path("build/digits")
FLOAT = Path("build/digits-float32")
TARGET = Path("models/digits")
HEAD_ITEMS = 12_000
"""Items of each modality that the head is fitted on."""


def main() -> int:
    """Everything from data to bundle; about half an hour on two cores."""
    if not DATA.is_dir():
        print(f"scripts/train: no data sets at {DATA}; see docs/models.md", file=sys.stderr)
        return 1
    shutil.rmtree(BUILD, ignore_errors=True)
    for directory in (BUILD, FLOAT):
        directory.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(SEED)
    composer, test_composer = (_timed(part, images.load_digits, DATA, part) for part in ("train", "test"))
    listener = _timed("speech", audios.load_listener, DATA)
    _timed("text", texts.train, BUILD / "text.tflite", FLOAT / "text.tflite")
    _timed("image", images.train, composer, BUILD / "image.tflite")
    _timed("audio", audios.train, listener, BUILD / "audio.tflite")
    start = _timed("head", _train_head, composer, listener)
    bundle.write_manifest(BUILD, start)
    bundle.write_selftest(BUILD)
    held_out = HeldOut(test_composer, speech.recorded_digits(DATA, "test"), speech.sounds(DATA, "test"))
    for line in evaluate(BUILD, held_out):
        print(line, flush=True)
    _install()
    return 0


def _train_head(composer: Composer, listener: Listener) -> float:
    """Write the head; give the score at which an event shall start."""
    frames, frame_labels = make_items(composer.frames, HEAD_ITEMS, SEED + 1)
    patches, patch_labels = make_items(listener.patches, HEAD_ITEMS, SEED + 2)
    lines, line_labels = make_lines(HEAD_ITEMS, np.random.default_rng(SEED + 3), "train")
    heard = {
        "image": Heard(convert.embed(BUILD / "image.tflite", images.normalised(frames)), frame_labels),
        "audio": Heard(convert.embed(BUILD / "audio.tflite", patches[..., np.newaxis]), patch_labels),
        "text": Heard(convert.embed(BUILD / "text.tflite", to_ids(lines)), line_labels),
    }
    weights, bias = fit_head(heard, SEED)
    (BUILD / "head.tflite").write_bytes(write_head(weights, bias, [EMBEDDING] * 3))
    return start_threshold(heard, weights, bias)


def _timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it, and say how long that took."""
    start = time.monotonic()
    result = function(*arguments)
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    return result


def _install() -> None:
    """Take the place of what the bundle was; its demo and licence text stay."""
    shutil.rmtree(TARGET / "selftest", ignore_errors=True)
    shutil.copytree(BUILD, TARGET, dirs_exist_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
