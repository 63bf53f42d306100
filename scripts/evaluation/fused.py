"""The senses together: every subset, clean and degraded, and what happens when they contradict each other."""

from collections.abc import Iterator, Mapping
from itertools import combinations, product

import numpy as np

from daemon.core.records import MODALITIES, Modality
from evaluation.held_out import SEED, Condition, Embedded, Labels
from evaluation.progress import shown
from evaluation.rows import Row, at_least, at_most, plain, share

COMBINATIONS = 12_000
SLACK = 0.2
"""Points that a fusion may lie below its best member."""
CONTRADICTIONS = 3_000
"""Of each pair of senses."""
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]

Choice = Mapping[Modality, Condition]


def fused_rows(embedded: Embedded, count: int = COMBINATIONS) -> list[Row]:
    """Combinations of held-out items of one digit, the same ones in every row; text is always clean."""
    rng = np.random.default_rng(SEED + 3)
    digits = rng.integers(10, size=count)
    drawn = {modality: embedded.items[modality].draw(digits, rng) for modality in MODALITIES}
    hits: dict[str, int] = {}
    rows = []
    for choice in shown("fused", list(choices())):
        vectors = {name: embedded.items[name].of(condition)[drawn[name]] for name, condition in choice.items()}
        hits[_name(choice)] = int((embedded.subject.scores(vectors).argmax(axis=1) == digits).sum())
        rows.append(_row(choice, hits, count))
        if list(choice.values()) == ["degraded", "degraded"]:
            rows.append(_error_row(choice, hits, count))
    return rows


def choices() -> Iterator[Choice]:
    """All subsets of the senses, each clean or degraded, single ones first."""
    for subset in SUBSETS:
        conditions = [("clean",) if name == "text" else ("clean", "degraded") for name in subset]
        for chosen in product(*conditions):
            yield dict(zip(subset, chosen, strict=True))


def contradiction_rows(embedded: Embedded) -> list[Row]:
    """One sense says a digit, another says another one; both clean."""
    return [row for pair in combinations(MODALITIES, 2) for row in _contradicted(embedded, *pair)]


def _row(choice: Choice, hits: Mapping[str, int], count: int) -> Row:
    target = None
    if len(choice) > 1:
        best = max(hits[_name({name: condition})] for name, condition in choice.items())
        target = at_least(round(100 * best / count - SLACK, 2))
    return share("fused", _name(choice), hits[_name(choice)], count, target)


def _error_row(choice: Choice, hits: Mapping[str, int], count: int) -> Row:
    alone = min(count - hits[_name({name: condition})] for name, condition in choice.items())
    part = (count - hits[_name(choice)]) / max(alone, 1)
    return plain("fused", f"{_name(choice)}: error, of the better one's", part, "", at_most(0.5), count)


def _name(choice: Choice) -> str:
    return " + ".join(f"{name} {condition}" if name != "text" else name for name, condition in choice.items())


def _contradicted(embedded: Embedded, one: Modality, other: Modality) -> Iterator[Row]:
    subject, items, rng = embedded.subject, embedded.items, np.random.default_rng(SEED + 4)
    said = rng.integers(10, size=CONTRADICTIONS)
    gainsaid = (said + rng.integers(1, 10, size=CONTRADICTIONS)) % 10
    below = both = 0
    for label, against, left, right in zip(said, gainsaid, *_rows(embedded, one, other, said, gainsaid), strict=True):
        found = subject.recognise({one: items[one].clean[left], other: items[other].clean[right]})
        below += bool((found.scores[: len(subject.starts)] < subject.starts).all())
        both += bool(found.shares[one][label] > 0 and found.shares[other][against] > 0)
    what = f"contradiction, {one} against {other}"
    yield share(what, "top score below the event threshold", below, CONTRADICTIONS, at_least(80))
    yield share(what, "both digits in the shares", both, CONTRADICTIONS)


def _rows(embedded: Embedded, one: Modality, other: Modality, said: Labels, gainsaid: Labels) -> tuple[Labels, Labels]:
    rng = np.random.default_rng(SEED + 5)
    return embedded.items[one].draw(said, rng), embedded.items[other].draw(gainsaid, rng)
