"""The schema of `taught/state.json`: which versions were taught on this device, and how the latest one went. Pure.

A taught version stands on a base, which is the bundle that runs without it. `state.json` and config.yaml decide about
the base. So a base is replaced and rolled back together with what was taught on it, by one rename of `state.json`.
"""

from typing import Annotated, Literal

from pydantic import Field

from daemon.bundle.manifest import LocalVersion
from daemon.bundle.release import BundleFiles, version_key
from daemon.core.document import StrictModel
from daemon.core.records import UpdateStage
from daemon.updates.state import Count, Id, Probation, Reason, Refusal, Result, Slot, Time

# the bases to which a rollback or a change of config.yaml can go back, and some more
MAX_VERSIONS = 8


class TaughtSlot(Slot):
    """A complete taught bundle on disk. It needs no file of its base."""

    version: LocalVersion


class TaughtVersion(StrictModel):
    """What runs on a base: the taught version in `slot`, or the base itself where `slot` is null.

    `previous` is the taught version before it; null: there is none. `came_with_base`: the first of them was made for
    the switch to this base, so the bundle before that one is another base. `probation` is its own, not the base's.
    """

    base: Id
    slot: TaughtSlot | None
    previous: TaughtSlot | None = None
    came_with_base: bool = False
    probation: Probation | None = None


class TaughtCandidate(StrictModel):
    """The taught version that is being installed on `base`; its files are complete in their slot.

    `closed`: the daemon was stopped in the normal way, or waits to try it again. `unclean_ends` counts the other ends.
    """

    base: Id
    release: BundleFiles
    stage: UpdateStage
    since: Time
    closed: bool = False
    unclean_ends: Count = 0

    @property
    def slot(self) -> TaughtSlot:
        """The slot that holds it."""
        return taught_slot_of(self.release)


class WaitingBase(StrictModel):
    """A new base that is not installed yet, because the taught labels cannot be fitted onto it."""

    id: Id
    reason: Reason
    since: Time


class TaughtState(StrictModel):
    """Content of `taught/state.json`. `versions` has one entry for each base; the latest is the last.

    `built_in` is the id of the bundle of config.yaml when a taught version became active.
    """

    format: Literal[1] = 1
    built_in: Id | None = None
    versions: Annotated[tuple[TaughtVersion, ...], Field(max_length=MAX_VERSIONS)] = ()
    candidate: TaughtCandidate | None = None
    waiting: WaitingBase | None = None
    refused: Refusal | None = None
    last_result: Result | None = None

    @property
    def required_contents(self) -> frozenset[str]:
        """The contents that must stay on disk."""
        slots = [slot for version in self.versions for slot in (version.slot, version.previous) if slot is not None]
        contents = {slot.content for slot in slots}
        if self.candidate is not None:
            contents.add(self.candidate.release.content)
        return frozenset(contents)


NOTHING_TAUGHT = TaughtState()


def taught_slot_of(release: BundleFiles) -> TaughtSlot:
    """The slot in which a taught version is installed."""
    signed = release.signed
    return TaughtSlot(name=signed.name, version=signed.version, content=release.content, memory_mb=signed.memory_mb)


def version_on(taught: TaughtState, base: str) -> TaughtVersion | None:
    """What runs where this is the base; None: the base itself.

    A base that nothing is known of does not run yet where something was taught on an older version of it. See
    `must_derive`.
    """
    of_name = [version for version in reversed(taught.versions) if _name(version.base) == _name(base)]
    exact = next((version for version in of_name if version.base == base), None)
    if exact is not None:
        return exact
    older = (version for version in of_name if version.slot is not None and _key(version.base) < _key(base))
    return next(older, None)


def taught_slot(taught: TaughtState, base: str) -> TaughtSlot | None:
    """The taught version that runs where this is the base; None: the base itself."""
    version = version_on(taught, base)
    return None if version is None else version.slot


def must_derive(taught: TaughtState, base: str) -> bool:
    """Whether what runs was taught on an older base, so that the labels must be fitted onto this one."""
    version = version_on(taught, base)
    return version is not None and version.base != base


def running_id(taught: TaughtState, base: str) -> str:
    """The id of what runs where this is the base."""
    slot = taught_slot(taught, base)
    return base if slot is None else slot.id


def plain_id(bundle: str) -> str:
    """The id of the base of a taught version, as its own id names it."""
    return bundle.partition("+")[0]


def _name(bundle: str) -> str:
    return bundle.partition("@")[0]


def _key(bundle: str) -> tuple[int, ...]:
    return version_key(bundle.partition("@")[2])
