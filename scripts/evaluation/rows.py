"""Row: one measured value with its count, its 95 % interval and its target. Pure functions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

# Quantile of the normal distribution for a 95 % interval.
Z = 1.959964

_COLUMNS = ("what", "condition", "measured", "count", "95 % interval", "target", "")


@dataclass(frozen=True, slots=True)
class Target:
    """A value that the measured value must reach (`at_least`) or not exceed."""

    value: float
    at_least: bool = True

    def met(self, measured: float) -> bool:
        """Whether the measured value meets the target."""
        return measured >= self.value if self.at_least else measured <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the report.

    A share has `hits` of `count` and is in %. Any other value has `hits` None and a unit: "ms", "KB", or "".
    """

    what: str
    condition: str
    value: float
    unit: str
    target: Target | None = None
    count: int | None = None
    hits: int | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of a share, in %."""
        if self.hits is None or not self.count:
            return None
        low, high = wilson(self.hits, self.count)
        return 100 * low, 100 * high

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        return None if self.target is None else self.target.met(self.value)

    def to_json(self) -> dict[str, Any]:
        """The row as --json writes it."""
        return {
            "what": self.what,
            "condition": self.condition,
            "value": self.value,
            "unit": self.unit,
            "hits": self.hits,
            "count": self.count,
            "interval": self.interval,
            "target": self.target and {"value": self.target.value, "at_least": self.target.at_least},
            "met": self.met,
        }


def share(what: str, condition: str, hits: int, count: int, target: Target | None = None) -> Row:
    """A row with `hits` of `count`, in %; the target is in % too."""
    return Row(what, condition, 100 * hits / count, "%", target, int(count), int(hits))


def plain(
    what: str, condition: str, value: float, unit: str = "", target: Target | None = None, count: int | None = None
) -> Row:
    """A row with a value that is no share: a calibration error, a time, a size."""
    return Row(what, condition, float(value), unit, target, count)


def at_least(value: float) -> Target:
    """A target that the measured value must not be below."""
    return Target(value)


def at_most(value: float) -> Target:
    """A target that the measured value must not be above."""
    return Target(value, at_least=False)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    centre = hits + Z**2 / 2
    margin = Z * sqrt(hits * (count - hits) / count + Z**2 / 4)
    return max(0.0, (centre - margin) / (count + Z**2)), min(1.0, (centre + margin) / (count + Z**2))


def render(rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|" + "---|" * len(_COLUMNS)
    for row in rows:
        yield "| " + " | ".join(_cells(row)) + " |"


def _cells(row: Row) -> list[str]:
    interval, target = row.interval, row.target
    return [
        row.what,
        row.condition,
        _value(row.value, row.unit),
        "" if row.count is None else str(row.count),
        "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        "" if target is None else f"{'≥' if target.at_least else '≤'} {target.value:g}{_suffix(row.unit)}",
        "" if row.met is None else "met" if row.met else "missed",
    ]


def _value(value: float, unit: str) -> str:
    digits = {"%": 2, "points": 2, "ms": 3, "KB": 0}.get(unit, 3)
    return f"{value:.0f}" if not unit and value.is_integer() else f"{value:.{digits}f}{_suffix(unit)}"


def _suffix(unit: str) -> str:
    return f" {unit}" if unit else ""
