"""What a part of the measurement has found: rows with targets, and tables. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.rows import Row, render

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """A table of details. Every row has a cell for each column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def to_json(self) -> list[dict[str, Cell]]:
        """The rows as objects whose keys are the columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def lines(self) -> Iterator[str]:
        """The lines of a Markdown table, below its title."""
        yield f"{self.title}:"
        yield ""
        yield "| " + " | ".join(self.columns) + " |"
        yield "|" + "---|" * len(self.columns)
        for row in self.rows:
            yield "| " + " | ".join(_text(cell) for cell in row) + " |"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows and the tables of one part of the measurement."""

    rows: Sequence[Row]
    tables: Sequence[Table] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The part as --json writes it."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "tables": {table.title: table.to_json() for table in self.tables},
        }

    def lines(self) -> Iterator[str]:
        """The lines of the part in Markdown."""
        yield from render(self.rows)
        for table in self.tables:
            yield ""
            yield from table.lines()


def percent(hits: int, count: int) -> float:
    """`hits` of `count` in %, with one decimal."""
    return round(100 * hits / count, 1)


def _text(cell: Cell) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
