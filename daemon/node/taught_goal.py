"""What should become of the labels that run: fit them again, leave them as they are, or run the base. Pure.

Only what a person has removed ends a label. One whose examples or background are missing runs on as it was fitted.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

# fit: the labels of the store; keep: what runs; base: the base, because everything taught was removed
Kind = Literal["fit", "keep", "base"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What should run. `reason` says in words why labels that should be fitted are not; None: there are none.

    `lost` are the labels that run, and whose examples nobody has removed, but which are not in the store.
    """

    kind: Kind
    reason: str | None = None
    lost: frozenset[str] = frozenset()


NOTHING_YET = Goal("keep")


def goal_of(
    *,
    stored: Collection[str],
    fittable: Collection[str],
    active: frozenset[str],
    removed: Collection[str],
    is_built_in: bool,
) -> Goal:
    """Return what should run.

    `stored` are the labels with examples, of which those in `fittable` can be fitted now. `active` are the taught
    labels that run, of which a person has removed those in `removed`. `is_built_in`: they came with config.yaml's
    bundle, which runs without them never.
    """
    if is_built_in and not stored:
        return NOTHING_YET
    staying = active.difference(removed)
    if lost := staying.difference(stored):
        return Goal("keep", lost_text(lost), lost)
    if unknown := staying.difference(fittable):
        return Goal("keep", unknown_text(unknown))
    if fittable:
        return Goal("fit")
    return Goal("base") if active and not stored and not is_built_in else NOTHING_YET


def lost_text(labels: Collection[str]) -> str:
    """Return what to do about labels whose examples are lost."""
    count, one = len(labels), "it" if len(labels) == 1 else "them"
    subject = "1 label has lost its examples" if count == 1 else f"{count} labels have lost their examples"
    return (
        f"{subject}: teach {one} again, restore a backup, or use `teach forget`; "
        f"until then no label is fitted, and those that run stay: {_names(labels)}"
    )


def unknown_text(labels: Collection[str]) -> str:
    """Return what labels wait for that run, and whose background is gone."""
    place = "its place is" if len(labels) == 1 else "their places are"
    return f"no label is fitted until {place} known again, and those that run stay: {_names(labels)}"


def _names(labels: Iterable[str]) -> str:
    return ", ".join(sorted(labels))
