"""Which bundle is meant: the newest, the one to try, the one that takes over at a start. Pure."""

from dataclasses import dataclass
from pathlib import Path

from daemon.bundles.state import State
from daemon.bundles.transitions import based_on, own_again
from daemon.release import Offer, version_key


@dataclass(frozen=True, slots=True)
class Own:
    """The config's own bundle: the one that runs unless another was activated, and the last resort."""

    id: str
    directory: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.partition("@")[0]

    @property
    def version(self) -> str:
        """Its version."""
        return self.id.partition("@")[2]


def active_id(state: State, own: Own) -> str:
    """Name and version of the bundle that runs."""
    return own.id if state.active is None else state.active.id


def newest(state: State, own: Own, perceptd: str) -> Offer | None:
    """The newest release of the active bundle's name that this version of the program can run, if newer."""
    name, _, version = active_id(state, own).partition("@")
    newer = [offer for offer in state.available if offer.name == name and _can_replace(offer, version, perceptd)]
    return max(newer, key=lambda offer: version_key(offer.version), default=None)


def latest_of(state: State, own: Own, name: str, perceptd: str) -> Offer | None:
    """The newest release of a name to install where no version is named; of the active bundle's name a newer one."""
    if name == active_id(state, own).partition("@")[0]:
        return newest(state, own, perceptd)
    known = [offer for offer in state.available if offer.name == name and _is_for(offer, perceptd)]
    return max(known, key=lambda offer: version_key(offer.version), default=None)


def to_try(state: State, own: Own, perceptd: str) -> Offer | None:
    """The release to install by itself: the newest, unless the active one is pinned.

    Where versions were refused, only what is newer than all of them: who went back does not want the one between.
    """
    offer = None if state.pinned else newest(state, own, perceptd)
    if offer is None:
        return None
    refused = [refusal.id.partition("@") for refusal in state.refused]
    versions = [version_key(version) for name, _, version in refused if name == offer.name]
    return offer if all(version_key(offer.version) > version for version in versions) else None


def after_config(state: State, own: Own) -> tuple[State, str | None]:
    """What is active when the daemon starts with this bundle of its config, and what there is to say of it.

    Another one than was there before wins, for somebody changed it, unless it is only an older version.
    """
    if state.active is None or state.base == own.id:
        return state, None
    if own.name == state.active.name and version_key(own.version) < version_key(state.active.version):
        return based_on(state, own.id), None
    remark = f"the config's bundle is {own.id} now, it was {state.base}: it takes over from {state.active.id}"
    return own_again(state), remark


def _can_replace(offer: Offer, version: str, perceptd: str) -> bool:
    return version_key(offer.version) > version_key(version) and _is_for(offer, perceptd)


def _is_for(offer: Offer, perceptd: str) -> bool:
    return version_key(offer.needs_perceptd) <= version_key(perceptd)
