"""What a daemon would begin with, for those who only look: no start is counted, and nothing is written."""

from dataclasses import dataclass
from pathlib import Path

from daemon.bundles.choice import Own, after_config
from daemon.bundles.journal import stored_state
from daemon.bundles.start import STATE
from daemon.bundles.state import Slot, State
from daemon.bundles.store import SLOTS
from daemon.bundles.whole import check_whole
from daemon.errors import UpdateError


@dataclass(frozen=True, slots=True)
class Kept:
    """A bundle in the store; `damage` says what is not whole of it."""

    slot: Slot
    directory: Path
    damage: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The state that a start would find, and its bundles, the active one first; `trouble` says why it is not known."""

    state: State
    kept: tuple[Kept, ...] = ()
    trouble: str | None = None

    @property
    def runs(self) -> Kept | None:
        """What would run; None: the config's own bundle."""
        return next((kept for kept in self.kept if kept.damage is None), None)


def preview(directory: Path, own: Own) -> Preview:
    """What is in the directory of replaced bundles; each of their files is read once."""
    try:
        state, _ = after_config(stored_state(directory / STATE), own)
    except UpdateError as error:
        return Preview(State(), trouble=str(error))
    slots = (slot for slot in (state.active, state.previous) if slot is not None)
    return Preview(state, tuple(_kept(slot, directory / SLOTS / slot.content) for slot in slots))


def _kept(slot: Slot, directory: Path) -> Kept:
    try:
        check_whole(directory, slot.content, lambda: None)
    except UpdateError as error:
        return Kept(slot, directory, str(error))
    return Kept(slot, directory, None)
