"""Fits that compute nothing, and an updater that installs at once or refuses."""

from pathlib import Path

from daemon.core.errors import ChildError
from daemon.node.fit_ports import FitOrder, FitResult, Outcome
from daemon.teaching.report import LabelReport, Report


def report(*labels: str, found: int = 5, tried: int = 5) -> Report:
    """Return the report of labels that were found in so many held-out presses."""
    return Report(labels=[label_report(label, found, tried) for label in labels], notes=[])


def label_report(label: str, found: int = 5, tried: int = 5, **changes: object) -> LabelReport:
    """Return the report of one label that is heard."""
    heard = LabelReport.model_construct(
        label=label,
        presses=tried,
        found=found,
        tried=tried,
        false_alarms_a_day=None,
        false_alarms={},
        senses={"audio": 1.0},
        found_without={},
        confused_with=[],
        harmful=[],
        mislabelled=[],
        warnings=[],
        text=f"{label}: heard in {found} of {tried} held-out presses",
    )
    return heard.model_copy(update=changes)


class FakeFit:
    """Implements RunningFit: runs until `end` is called."""

    def __init__(self, order: FitOrder) -> None:
        self.order = order
        self.is_closed = False
        self._end: FitResult | ChildError | None = None

    def end(self, *labels: str, reason: str = "", may_pass: bool = False) -> None:
        self._end = FitResult(None, reason, may_pass) if reason else FitResult(report(*labels))

    def fail(self, reason: str) -> None:
        self._end = ChildError(reason)

    def result(self) -> FitResult | None:
        if isinstance(self._end, ChildError):
            raise self._end
        return self._end

    def close(self) -> None:
        self.is_closed = True


class FakeFitRunner:
    """Implements FitRunner. `fits` has all that were started; `refusal` is raised instead, if there is one."""

    def __init__(self) -> None:
        self.fits: list[FakeFit] = []
        self.refusal: str | None = None

    def start(self, order: FitOrder) -> FakeFit:
        if self.refusal is not None:
            raise ChildError(self.refusal)
        assert all(fit.is_closed for fit in self.fits), "one child process at a time"
        assert order.target.parent.is_dir()
        assert not order.target.exists()
        self.fits.append(FakeFit(order))
        return self.fits[-1]


class FakeInstaller:
    """Implements LocalInstaller. `requested` has the ids; `busy` is the refusal, `outcomes` are those of ids.

    `highest` is the highest number that it knows of.
    """

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.directories: list[Path] = []
        self.removals = self.tries = 0
        self.busy: str | None = None
        self.highest = 0
        self.outcomes: dict[str, Outcome] = {}

    def install_local(self, directory: Path, bundle_id: str) -> str | None:
        if self.busy is None:
            self.requested.append(bundle_id)
            self.directories.append(directory)
        return self.busy

    def install_base(self) -> None:
        self.removals += 1

    def derive_again(self) -> None:
        self.tries += 1

    def outcome(self, bundle_id: str) -> Outcome:
        return self.outcomes.get(bundle_id, Outcome("pending"))

    def highest_number(self) -> int:
        return self.highest
