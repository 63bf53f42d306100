"""Pictures alone: each picture of pictures.csv, shown as a still stream. Sights, and people."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evaluation.rows import at_least, plain, share

from daemon.core.records import Array64
from home_evaluation.measures import auroc, found, mean
from home_evaluation.outcome import Outcome, outcomes
from home_evaluation.report import Cell, Part, Table, percent
from home_evaluation.scenes import Scene, Sight

SHOWN_S = 3.0
# A group with fewer pictures is told, and does not count in the mean of what is found.
FEWEST = 5
PERSON = "person"
COLUMNS = ("label", "pictures", "others", "AUROC", "found at 1 % false, %", "own event, %", "event in others, %")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its group, and whether a person is in it: "yes", "no", or "" where nobody has looked."""

    path: Path
    group: str
    person: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was shown, and the outcome."""

    picture: Picture
    outcome: Outcome


def load_pictures(data: Path, every: int = 1) -> list[Picture]:
    """One in `every` pictures of pictures.csv, of each group."""
    directory = data / "pictures"
    with (directory / "pictures.csv").open(encoding="utf-8", newline="") as file:
        pictures = [Picture(directory / row["file"], row["group"], row["person"]) for row in csv.DictReader(file)]
    groups = dict.fromkeys(picture.group for picture in pictures)
    return [each for group in groups for each in [one for one in pictures if one.group == group][::every]]


def see(bundle: Path, pictures: Sequence[Picture]) -> list[Seen]:
    """Show each picture for SHOWN_S."""
    measured = outcomes(bundle, [Scene(sight=Sight(picture.path, SHOWN_S)) for picture in pictures], "pictures")
    return [Seen(picture, outcome) for picture, outcome in zip(pictures, measured, strict=True)]


def sights_part(seen: Sequence[Seen], groups: Mapping[str, str], labels: Sequence[str]) -> Part:
    """The rows and the table of the part `sights`. `groups` maps the groups of pictures to labels."""
    details, areas, shares = [], [], []
    for group, label in groups.items():
        own = [each for each in seen if each.picture.group == group]
        others = [each for each in seen if each.picture.group != group]
        if label not in labels or not own:
            continue
        area, hits = _cells(own, others, labels.index(label))
        details.append(_detail(label, own, others, area, hits))
        areas.append(area)
        if len(own) >= FEWEST:
            shares.append(100 * hits / len(own))
    rows = [plain("sights", f"mean AUROC over {len(areas)} labels", mean(areas), "", at_least(0.99))]
    if shares:
        where = f"mean found where 1 % of others start, {len(shares)} labels"
        rows.append(plain("sights", where, mean(shares), "%", at_least(90)))
    return Part(rows, [Table("Sights by label", COLUMNS, details)])


def people_part(seen: Sequence[Seen], labels: Sequence[str]) -> Part:
    """The rows and the table of the part `people`. Pictures at which nobody has looked do not count."""
    own, others = ([each for each in seen if each.picture.person == mark] for mark in ("yes", "no"))
    area, hits = _cells(own, others, labels.index(PERSON))
    rows = [
        plain("people", "AUROC", area, "", at_least(0.95), len(own) + len(others)),
        share("people", "found where 1 % of those without pass", hits, len(own), at_least(60)),
    ]
    return Part(rows, [Table("People", COLUMNS, [_detail(PERSON, own, others, area, hits)])])


def _cells(own: Sequence[Seen], others: Sequence[Seen], index: int) -> tuple[float, int]:
    levels, foreign = _levels(own, index), _levels(others, index)
    return auroc(levels, foreign), found(levels, foreign)


def _levels(seen: Sequence[Seen], index: int) -> Array64:
    return np.array([each.outcome.levels[index] for each in seen])


def _detail(label: str, own: Sequence[Seen], others: Sequence[Seen], area: float, hits: int) -> Sequence[Cell]:
    events, false = (sum(label in each.outcome.labels for each in seen) for seen in (own, others))
    shares = (percent(hits, len(own)), percent(events, len(own)), percent(false, len(others)))
    return (label, len(own), len(others), round(area, 4), *shares)
