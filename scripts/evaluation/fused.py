"""Measures the senses together: every subset, clean and degraded, and contradictions between two senses."""

from collections.abc import Iterator, Mapping
from itertools import combinations, product

import numpy as np

from daemon.core.records import MODALITIES, Modality
from evaluation.held_out import SEED, Condition, Embedded, Labels
from evaluation.progress import with_progress
from evaluation.rows import Row, at_least, at_most, plain, share

COMBINATIONS = 12_000
# Points that a fusion may lie below its best member.
SLACK = 0.2
# Moments for each pair of senses.
CONTRADICTIONS = 3_000
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]

Conditions = Mapping[Modality, Condition]


def fused_rows(embedded: Embedded, count: int = COMBINATIONS) -> list[Row]:
    """Accuracy on combinations of held-out items of one digit, the same ones in every row; text is always clean."""
    rng = np.random.default_rng(SEED + 3)
    digits = rng.integers(10, size=count)
    drawn = {modality: embedded.items[modality].draw(digits, rng) for modality in MODALITIES}
    hits: dict[str, int] = {}
    rows = []
    for conditions in with_progress("fused", list(condition_sets())):
        vectors = {name: embedded.items[name].of(condition)[drawn[name]] for name, condition in conditions.items()}
        hits[_name(conditions)] = int((embedded.subject.scores(vectors).argmax(axis=1) == digits).sum())
        rows.append(_row(conditions, hits, count))
        if list(conditions.values()) == ["degraded", "degraded"]:
            rows.append(_error_row(conditions, hits, count))
    return rows


def condition_sets() -> Iterator[Conditions]:
    """All subsets of the senses, each sense clean or degraded, single senses first."""
    for subset in SUBSETS:
        conditions = [("clean",) if name == "text" else ("clean", "degraded") for name in subset]
        for chosen in product(*conditions):
            yield dict(zip(subset, chosen, strict=True))


def contradiction_rows(embedded: Embedded) -> list[Row]:
    """Moments in which two senses show different digits; both are clean."""
    return [row for pair in combinations(MODALITIES, 2) for row in _contradicted(embedded, *pair)]


def _row(conditions: Conditions, hits: Mapping[str, int], count: int) -> Row:
    target = None
    if len(conditions) > 1:
        best = max(hits[_name({name: condition})] for name, condition in conditions.items())
        target = at_least(round(100 * best / count - SLACK, 2))
    return share("fused", _name(conditions), hits[_name(conditions)], count, target)


def _error_row(conditions: Conditions, hits: Mapping[str, int], count: int) -> Row:
    alone = min(count - hits[_name({name: condition})] for name, condition in conditions.items())
    part = (count - hits[_name(conditions)]) / max(alone, 1)
    return plain("fused", f"{_name(conditions)}: error, of the better one's", part, "", at_most(0.5), count)


def _name(conditions: Conditions) -> str:
    return " + ".join(f"{name} {condition}" if name != "text" else name for name, condition in conditions.items())


def _contradicted(embedded: Embedded, one: Modality, other: Modality) -> Iterator[Row]:
    subject, items, rng = embedded.subject, embedded.items, np.random.default_rng(SEED + 4)
    digits = rng.integers(10, size=CONTRADICTIONS)
    other_digits = (digits + rng.integers(1, 10, size=CONTRADICTIONS)) % 10
    below = both = 0
    for label, against, row, other_row in zip(
        digits, other_digits, *_rows(embedded, one, other, digits, other_digits), strict=True
    ):
        found = subject.recognise({one: items[one].clean[row], other: items[other].clean[other_row]})
        below += bool((found.scores[: len(subject.starts)] < subject.starts).all())
        both += bool(found.shares[one][label] > 0 and found.shares[other][against] > 0)
    what = f"contradiction, {one} against {other}"
    yield share(what, "top score below the event threshold", below, CONTRADICTIONS, at_least(80))
    yield share(what, "both digits in the shares", both, CONTRADICTIONS)


def _rows(
    embedded: Embedded, one: Modality, other: Modality, digits: Labels, other_digits: Labels
) -> tuple[Labels, Labels]:
    rng = np.random.default_rng(SEED + 5)
    return embedded.items[one].draw(digits, rng), embedded.items[other].draw(other_digits, rng)
