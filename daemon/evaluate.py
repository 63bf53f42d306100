"""Scores a bundle on labelled data: the rows of a CSV with the columns image, audio, text, label."""

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import InputError, Refused
from daemon.offline import Item, OfflineRecogniser

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
