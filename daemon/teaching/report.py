"""What a fit says about itself, in words and as JSON: every figure is of presses and background that were held out."""

from collections.abc import Sequence

from daemon.core.document import StrictModel
from daemon.core.records import Modality

# of the id of an example. No two of a thousand examples begin with the same eight hexadecimal digits by chance.
SHOWN_ID = 8
MAX_SHOWN_IDS = 10


def ids_text(ids: Sequence[str]) -> str:
    """Return the beginnings of the ids of examples, and how many more there are than can be listed."""
    more = len(ids) - MAX_SHOWN_IDS
    return ", ".join(each[:SHOWN_ID] for each in ids[:MAX_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")


class Rate(StrictModel):
    """How often a day a label is expected to start an event wrongly, with an interval.

    `hours` is the time that the background covers. The interval is an estimate too: it widens by a factor for each
    decade of probability that the background has not shown.
    """

    expected: float
    low: float
    high: float
    hours: float


class Confusion(StrictModel):
    """Another label that `presses` held-out presses of this label started."""

    label: str
    presses: int


class LabelReport(StrictModel):
    """How well one label is recognised.

    `found` of `tried` presses were recognised while they were held out; null: there is only one press.
    `false_alarms` has the rates by stream, and `false_alarms_a_day` that of all streams; null: the label is a state.
    `senses` has the part of each sense in what spoke for the label, in held-out presses that were recognised.
    `found_without` has how many of `tried` were recognised without a sense, by the sense that was left out.
    `missed`, `harmful` and `mislabelled` have ids of examples. Those of `missed` were tried and not found.
    """

    label: str
    presses: int
    found: int | None
    tried: int | None
    false_alarms_a_day: Rate | None
    false_alarms: dict[str, Rate]
    senses: dict[Modality, float]
    found_without: dict[Modality, int]
    confused_with: list[Confusion]
    missed: list[str] = []
    harmful: list[str]
    mislabelled: list[str]
    warnings: list[str]
    text: str


class Report(StrictModel):
    """The labels of a fit. `notes` has what concerns all labels, such as labels that were left out, with the reason."""

    labels: list[LabelReport]
    notes: list[str]

    def text(self) -> list[str]:
        """Return the report in words, one thought a line."""
        lines = []
        for label in self.labels:
            missed = [f"missed: press {ids_text(label.missed)}"] if label.missed else []
            lines += [label.text, *(f"  {line}" for line in (*missed, *label.warnings))]
        return lines + self.notes
