"""Bundles that were taught here, in the hands of the updater."""

from dataclasses import dataclass
from pathlib import Path

from daemon.node.fit_ports import Outcome
from daemon.updates.taught_state import TaughtState
from daemon.updates.updater import Updater


@dataclass(frozen=True, slots=True)
class LocalBundles:
    """Has the updater install what was taught here. Implements LocalInstaller."""

    updater: Updater

    def install_local(self, directory: Path, bundle_id: str) -> str | None:
        """Request the installation of the bundle in a directory; return None, or why the request is not accepted."""
        return self.updater.install_local(directory, bundle_id)

    def install_base(self) -> None:
        """Request that the base runs, because nothing is taught any more."""
        self.updater.install_base()

    def derive_again(self) -> None:
        """Request that a new base that waits for its labels is tried again, because something was taught."""
        self.updater.derive_again()

    def outcome(self, bundle_id: str) -> Outcome:
        """Return how far the installation of a bundle is."""
        return outcome_of(self.updater.status().taught, bundle_id)


def outcome_of(taught: TaughtState, bundle_id: str) -> Outcome:
    """Return how far the installation of a bundle is, as the updater's state says."""
    if taught.candidate is not None and taught.candidate.slot.id == bundle_id:
        return Outcome("pending")
    if any(version.slot is not None and version.slot.id == bundle_id for version in taught.versions):
        return Outcome("active")
    for result in (taught.refused, taught.last_result):
        if result is not None and result.id == bundle_id and result.reason is not None:
            return Outcome("failed", result.reason)
    return Outcome("unknown")
