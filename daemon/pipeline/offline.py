"""One item of files through a bundle, as `evaluate` and `bundle verify` need it: the same encoders, no threads."""

import csv
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle, Case, case_file, load_bundle, load_cases
from daemon.bundle.manifest import AudioPreprocessing
from daemon.core.errors import InputError, ModelError, Refused
from daemon.core.records import Array, Block, Embedding, Line, Modality, Moment, Recognition
from daemon.encoders.audio import AudioFrontEnd
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.sources.container import read_picture, read_sound

BLOCK_S = 0.02

STILL: tuple[Modality, ...] = ("image", "text")
"""What is the same in every moment of an item."""


@dataclass(frozen=True, slots=True)
class Item:
    """The files and the text of one moment; None is an absent modality."""

    image: Path | None = None
    audio: Path | None = None
    text: str | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Which modalities are there."""
        given: dict[Modality, object] = {"image": self.image, "audio": self.audio, "text": self.text}
        return tuple(modality for modality, value in given.items() if value is not None)


def item_of(bundle: Bundle, case: Case) -> Item:
    """A stored case of the bundle's self-test."""
    image, audio = (case_file(bundle, name) if name else None for name in (case.image, case.audio))
    return Item(image, audio, case.text)


class OfflineRecogniser:
    """Recognises single items. Used by one thread."""

    def __init__(self, recogniser: Recogniser) -> None:
        manifest = recogniser.bundle.manifest
        self._encoders = recogniser.encoders
        self._head = recogniser.new_head()
        self._audio = manifest.modalities.audio.preprocessing if manifest.modalities.audio else None
        self._foreground = [index for index, label in enumerate(manifest.labels) if label not in manifest.background]
        self.labels = manifest.labels

    def recognise(self, item: Item) -> Recognition:
        """The recognition at the moment of the item with the highest score of a label that is not background.

        Picture and text are the same in every moment; sound is streamed. A modality that the bundle lacks counts as
        absent. Raises InputError when a file cannot be read or nothing is left to recognise.
        """
        still: dict[Modality, Embedding] = {}
        for modality in STILL:
            if modality in self._encoders:
                for taken in encoder_inputs(item, modality, None):
                    still[modality] = self._encoders[modality].encode(taken)
        recognitions = [self._head.recognise(moment) for moment in self._moments(item, still)]
        if not recognitions:
            raise InputError("none of the item's modalities is in the bundle")
        return max(recognitions, key=lambda recognition: float(recognition.scores[self._foreground].max()))

    def _moments(self, item: Item, still: dict[Modality, Embedding]) -> Iterator[Moment]:
        if item.audio is not None and self._audio is not None:
            for patch in encoder_inputs(item, "audio", self._audio):
                embedding = self._encoders["audio"].encode(patch)
                yield Moment(embedding.end_ns, {**still, "audio": embedding})
        elif still:
            yield Moment(0, still)


def encoder_inputs(item: Item, modality: Modality, audio: AudioPreprocessing | None) -> Iterator[Any]:
    """What the encoder of a modality takes of an item: its picture, its line, or one patch of its sound after another.

    The sound has a patch of silence before and after it. Raises InputError when a file cannot be read.
    """
    if modality == "image" and item.image is not None:
        yield read_picture(item.image)
    elif modality == "text" and item.text is not None:
        yield Line(item.text, 0)
    elif modality == "audio" and item.audio is not None and audio is not None:
        front_end = AudioFrontEnd(audio)
        for block in _padded(read_sound(item.audio, audio.sample_rate_hz), audio):
            yield from front_end.push(block)


def _padded(sound: Array, audio: AudioPreprocessing) -> Iterator[Block]:
    rate_hz = audio.sample_rate_hz
    silence = np.zeros((audio.frames - 1) * audio.hop_samples + audio.window_samples, np.float32)
    samples = np.concatenate((silence, sound, silence))
    size = round(BLOCK_S * rate_hz)
    for start in range(0, len(samples), size):
        yield Block(samples[start : start + size], rate_hz, start * 1_000_000_000 // rate_hz)


MOST_FAILURES = 3
"""Of a self-test, told on one line."""


def run_selftest(bundle: Bundle, recogniser: Recogniser) -> list[str]:
    """What the stored cases find wrong, in words. Raises ModelError when a model does not run."""
    offline = OfflineRecogniser(recogniser)
    tolerance = bundle.manifest.selftest.tolerance
    failures = []
    for case, where in load_cases(bundle):
        try:
            scores = offline.recognise(item_of(bundle, case)).scores
        except InputError as error:
            failures.append(f"{where}: {error}")
            continue
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        for label, expected in case.scores.items():
            score = float(scores[offline.labels.index(label)])
            if not abs(score - expected) <= tolerance:  # nor is a score that is no number
                failures.append(f"{where}: {label} scored {score:.3f}, expected {expected:.3f} within {tolerance}")
    return failures


def failures_in_short(failures: Sequence[str]) -> str:
    """The first few, on one line."""
    told = [" ".join(failure.split()) for failure in failures[:MOST_FAILURES]]
    more = f" and {len(failures) - MOST_FAILURES} more" if len(failures) > MOST_FAILURES else ""
    return "; ".join(told) + more


def print_selftest(directory: str) -> None:
    """In a child process: write what `timed_selftest` says, as JSON."""
    failures, seconds = timed_selftest(Path(directory))
    print(json.dumps({"failures": failures, "seconds": seconds}))  # noqa: T201  (the parent reads it)


def timed_selftest(directory: Path) -> tuple[list[str], float]:
    """What the self-test of the bundle there finds wrong, and how many seconds it took.

    A bundle that cannot be used is wrong at once.
    """
    began = time.monotonic()
    try:
        bundle = load_bundle(directory)
        recogniser = load_recogniser(bundle)
        began = time.monotonic()
        failures = run_selftest(bundle, recogniser)
    except Refused as error:
        failures = str(error).splitlines()
    return failures, time.monotonic() - began


COLUMNS = ("image", "audio", "text", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled item and where it stands: the CSV and the line."""

    where: str
    item: Item
    label: str


@dataclass(slots=True)
class Tally:
    """What was recognised as what; `confusion[label][recognised]` is a count."""

    confusion: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    right: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, recognised: str) -> None:
        """Count one row."""
        self.confusion[row.label][recognised] += 1
        subset = "+".join(row.item.modalities)
        self.seen[subset] += 1
        self.right[subset] += recognised == row.label

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        count = self.seen.total()
        return {
            "accuracy": self.right.total() / count,
            "count": count,
            "by_modalities": {
                subset: {"accuracy": self.right[subset] / self.seen[subset], "count": self.seen[subset]}
                for subset in sorted(self.seen)
            },
            "confusion": {label: dict(sorted(row.items())) for label, row in sorted(self.confusion.items())},
        }


def read_manifest(path: Path, labels: list[str]) -> list[Row]:
    """The rows of a CSV, its paths taken relative to it. Raises Refused that names file and line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise Refused(
                    f"{path}:1: expected the columns {','.join(COLUMNS)}; missing: {', '.join(sorted(missing))}"
                )
            rows = [_row(path, reader.line_num, cells, labels) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise Refused(f"{path}: has no rows")
    return rows


def evaluate(recogniser: OfflineRecogniser, rows: list[Row], progress: Callable[[int], None]) -> Tally:
    """Recognise every row; `progress` is told how many are done. Raises Refused when a row's file cannot be used."""
    tally = Tally()
    for done, row in enumerate(rows, start=1):
        try:
            recognition = recogniser.recognise(row.item)
        except InputError as error:
            raise Refused(f"{row.where}: {error}") from error
        tally.add(row, recogniser.labels[int(np.argmax(recognition.scores))])
        progress(done)
    return tally


def render(tally: Tally) -> Iterator[str]:
    """The lines a person reads."""
    result = tally.to_json()
    yield f"accuracy {result['accuracy']:.2%} of {result['count']}"
    yield ""
    yield "by modalities"
    for subset, row in result["by_modalities"].items():
        yield f"  {subset:<20} {row['accuracy']:8.2%} of {row['count']}"
    yield ""
    columns = sorted({label for row in tally.confusion.values() for label in row} | set(tally.confusion))
    width = max(5, *(len(label) + 1 for label in columns))
    yield "confusion: rows are the labels, columns what was recognised"
    yield " " * width + "".join(f"{label:>{width}}" for label in columns)
    for label in sorted(tally.confusion):
        cells = (tally.confusion[label][column] for column in columns)
        yield f"{label:>{width}}" + "".join(f"{count or '.':>{width}}" for count in cells)


def _row(path: Path, line: int, cells: dict[str, str], labels: list[str]) -> Row:
    label = (cells["label"] or "").strip()
    if label not in labels:
        raise Refused(f"{path}:{line}: label {label!r}; expected one of {', '.join(labels)}")
    image, audio = ((path.parent / cells[name].strip()) if cells[name] else None for name in ("image", "audio"))
    item = Item(image, audio, cells["text"] or None)
    if not item.modalities:
        raise Refused(f"{path}:{line}: at least one of image, audio, text must be given")
    return Row(f"{path}:{line}", item, label)
