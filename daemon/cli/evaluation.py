"""Scores a bundle on labelled items: reads the CSV, counts what is recognised, and prints the result."""

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.errors import InputError, Refused
from daemon.pipeline.offline import Item, OfflineRecogniser

COLUMNS = ("image", "audio", "text", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled item, with its file and line."""

    where: str
    item: Item
    label: str


@dataclass(slots=True)
class Evaluation:
    """Counts of recognised items. `confusion[label][recognised]` is a count; the others are by present modalities."""

    confusion: dict[str, Counter[str]] = field(default_factory=partial(defaultdict, Counter))
    correct: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, recognised: str) -> None:
        """Count one row."""
        self.confusion[row.label][recognised] += 1
        subset = "+".join(row.item.modalities)
        self.count[subset] += 1
        self.correct[subset] += recognised == row.label

    def to_json(self) -> dict[str, Any]:
        """Return the result as `evaluate --json` prints it."""
        count = self.count.total()
        return {
            "accuracy": self.correct.total() / count,
            "count": count,
            "by_modalities": {
                subset: {"accuracy": self.correct[subset] / self.count[subset], "count": self.count[subset]}
                for subset in sorted(self.count)
            },
            "confusion": {label: dict(sorted(row.items())) for label, row in sorted(self.confusion.items())},
        }


def read_rows(path: Path, labels: list[str]) -> list[Row]:
    """Return the rows of a CSV, whose paths are relative to it. Raises Refused with file and line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise Refused(
                    f"{path}:1: expected the columns {','.join(COLUMNS)}; missing: {', '.join(sorted(missing))}"
                )
            rows = [_row(path, reader.line_num, cells, labels) for cells in reader]
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise Refused(f"{path}: has no rows")
    return rows


def evaluate_rows(recogniser: OfflineRecogniser, rows: list[Row], on_progress: Callable[[int], None]) -> Evaluation:
    """Recognise every row. `on_progress` gets the number of rows done. Raises Refused when a row cannot be used."""
    evaluation = Evaluation()
    for done, row in enumerate(rows, start=1):
        try:
            recognition = recogniser.recognise(row.item)
        except InputError as error:
            raise Refused(f"{row.where}: {error}") from error
        evaluation.add(row, recogniser.labels[int(np.argmax(recognition.scores))])
        on_progress(done)
    return evaluation


def render(evaluation: Evaluation) -> Iterator[str]:
    """Yield the lines of the result for a person."""
    result = evaluation.to_json()
    yield f"accuracy {result['accuracy']:.2%} of {result['count']}"
    yield ""
    yield "by modalities"
    for subset, row in result["by_modalities"].items():
        yield f"  {subset:<20} {row['accuracy']:8.2%} of {row['count']}"
    yield ""
    columns = sorted({label for row in evaluation.confusion.values() for label in row} | set(evaluation.confusion))
    width = max(5, *(len(label) + 1 for label in columns))
    yield "confusion: rows are the labels, columns what was recognised"
    yield " " * width + "".join(f"{label:>{width}}" for label in columns)
    for label in sorted(evaluation.confusion):
        cells = (evaluation.confusion[label][column] for column in columns)
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
