"""Measures speakers never heard: for each of the five, an audio encoder trained on the four others."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from training.speech import Sound, Utterance, recorded_digits
from training.splits import SPEAKERS

from daemon.bundle.bundle import Bundle
from daemon.bundle.manifest import MANIFEST
from evaluation.hearing import windows
from evaluation.held_out import SEED
from evaluation.progress import report
from evaluation.rows import Row, at_least, share
from evaluation.subject import Subject

Kind = Literal["int8", "float32"]

BUILD = Path("build/unheard")
# Signal to noise ratio in dB, and the targets in % of the mean and of the worst speaker.
CONDITIONS = (
    ("clean", None, 96.0, 93.0),
    ("10 dB", 10.0, 95.0, None),
    ("5 dB", 5.0, 90.0, None),
    ("0 dB", 0.0, 80.0, None),
)


def unheard_rows(bundle: Bundle, kind: Kind, data: Path, noises: Sequence[Sound]) -> list[Row]:
    """Accuracy on all 500 recordings of each speaker, at random positions, alone and among the clips of fold 4."""
    _train_missing(data)
    subjects = {speaker: Subject(_bundle_without(speaker, bundle, kind)) for speaker in SPEAKERS}
    rows = []
    for name, snr_db, mean, worst in CONDITIONS:
        what = "sound, a speaker never heard" if snr_db is None else f"the same, in noise at {name}"
        under = () if snr_db is None else noises
        cells = {
            speaker: _hits(subject, recorded_digits(data, None, [speaker]), under, snr_db or 0.0)
            for speaker, subject in subjects.items()
        }
        hits, count = np.sum(list(cells.values()), axis=0)
        lowest = min(cells, key=lambda speaker: cells[speaker][0] / cells[speaker][1])
        rows.append(share(what, "mean", int(hits), int(count), at_least(mean)))
        rows.append(share(what, "worst of the five", *cells[lowest], worst and at_least(worst)))
        rows += [share(what, speaker, *cell) for speaker, cell in cells.items()]
    return rows


def _hits(subject: Subject, spoken: list[Utterance], noises: Sequence[Sound], snr_db: float) -> tuple[int, int]:
    """How many recordings are recognised by sound alone, and how many there are."""
    rng = np.random.default_rng(SEED)
    heard = subject.embed_sounds(
        windows([item.samples for item in spoken], subject.window_samples, rng, noises, snr_db)
    )
    labels = np.array([item.label for item in spoken])
    return int((subject.scores({"audio": heard}).argmax(axis=1) == labels).sum()), len(labels)


def _train_missing(data: Path) -> None:
    """Train the missing encoders, two at a time, each on a core of its own."""
    missing = [speaker for speaker in SPEAKERS if not all(path.is_file() for path in _encoders(speaker).values())]
    if missing:
        report(f"unheard: trains the audio encoder without {', '.join(missing)}, once; {BUILD} stores the results")
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            list(pool.map(partial(_train_without, data), missing))


def _train_without(data: Path, speaker: str) -> None:
    from training.leave_one_out import train_without  # imported late, because it loads TensorFlow

    encoders = _encoders(speaker)
    encoders["int8"].parent.mkdir(parents=True, exist_ok=True)
    train_without(data, speaker, encoders["int8"], encoders["float32"])


def _encoders(speaker: str) -> dict[Kind, Path]:
    """The files of the encoders trained without this speaker."""
    return {"int8": BUILD / speaker / "audio.tflite", "float32": BUILD / speaker / "audio-float.tflite"}


def _bundle_without(speaker: str, bundle: Bundle, kind: Kind) -> Path:
    """The bundle with an audio encoder trained without the speaker."""
    return _assembled(bundle, _encoders(speaker)[kind], BUILD / speaker / f"bundle-{kind}")


def _assembled(bundle: Bundle, encoder: Path, directory: Path) -> Path:
    """A copy of the bundle in `directory` with this audio encoder."""
    from training.convert import tensor_specs

    directory.mkdir(exist_ok=True)
    for path in bundle.directory.glob("*.tflite"):
        shutil.copyfile(path, directory / path.name)
    shutil.copyfile(encoder, directory / "audio.tflite")
    manifest = yaml.safe_load((bundle.directory / MANIFEST).read_text(encoding="utf-8"))
    audio = manifest["modalities"]["audio"]
    audio["model"] = "audio.tflite"
    audio["input"], audio["output"] = (spec.model_dump(exclude_none=True) for spec in tensor_specs(encoder))
    (directory / MANIFEST).write_text(yaml.safe_dump(manifest, allow_unicode=True), encoding="utf-8")
    return directory
