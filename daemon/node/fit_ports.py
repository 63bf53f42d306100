"""The ports of fits: what computes them, and what installs the bundles that they give."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_S
from daemon.teaching.report import Report

# how long a fit may take on the slowest boards
FIT_NS = 300 * NS_PER_S


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
    """How far the installation of a bundle is. `reason` says why it failed, or waits.

    void: the updater has not tried it and will not, such as after a power cut, so the labels must be fitted again.
    failed: it was tried, and is not used.
    """

    state: Literal["void", "pending", "active", "failed"]
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

    def highest_number(self) -> int:
        """Return the highest number of a taught version that the updater knows of."""


def finished(child: RunningFit, began_ns: int, now_ns: int) -> FitResult | None:
    """Return the result of a fit; None while it runs. Raises ChildError when it has failed or takes too long."""
    result = child.result()
    if result is None and now_ns - began_ns > FIT_NS:
        raise ChildError(f"it did not finish within {FIT_NS // NS_PER_S} s")
    return result
