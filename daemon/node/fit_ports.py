"""What a fit is, and what fits need of others: a child process that fits, and an updater that installs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from daemon.node.fit_record import FitBasis
from daemon.teaching.report import Report


@dataclass(frozen=True, slots=True)
class FitOrder:
    """One fit: onto the bundle in the directory `base`, into the directory `target`, as this version."""

    base: Path
    target: Path
    version: str
    number: int


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit gave: its report, or the reason why nothing could be fitted.

    `may_pass`: the same fit may succeed later, such as when there is room on the disk again.
    """

    report: Report | None
    reason: str = ""
    may_pass: bool = False


class RunningFit(Protocol):
    """A fit in a child process."""

    def result(self) -> FitResult | None:
        """Return the result; None while the fit runs. Raises ChildError when the child process has failed."""

    def close(self) -> None:
        """Kill the child process, if it still runs."""


class FitRunner(Protocol):
    """Starts fits."""

    def start(self, order: FitOrder) -> RunningFit:
        """Start a fit. Raises ChildError where no process can be started."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far the installation of a bundle is. `reason` says why it failed."""

    state: Literal["unknown", "pending", "active", "failed"]
    reason: str = ""


class LocalInstaller(Protocol):
    """Installs bundles that this node has made. Methods never block."""

    def install_local(self, directory: Path, bundle_id: str) -> str | None:
        """Request the installation of the bundle in a directory; return None, or why the request is not accepted."""

    def install_base(self) -> None:
        """Request that the base runs, because nothing is taught any more."""

    def derive_again(self) -> None:
        """Request that a new base that waits for its labels is tried again, because something was taught."""

    def outcome(self, bundle_id: str) -> Outcome:
        """Return how far the installation of a bundle is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be active: a fit of this basis onto the bundle `active`, which lies in `directory`.

    `number` is that of the active bundle's version; 0: nothing taught is active. Without `has_labels` the base should
    be active.
    """

    basis: FitBasis
    active: str
    directory: Path
    number: int
    has_labels: bool
