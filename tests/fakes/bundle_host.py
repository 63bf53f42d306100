"""A node whose bundle can be replaced, without encoders or fusion."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.core.errors import Refused
from daemon.updates.state import BundleMetrics

GOOD_METRICS = BundleMetrics(moments=500, errors=0, p99_ms=100.0, mean_top_score=0.9)


class FakeHost:
    """Implements Host. A bundle's id is the only line of its bundle.yaml.

    `runs` is the active bundle, `history` all that were active. `refuses` maps bundles to the error of `prepare`,
    `does` maps them to their metrics.
    """

    def __init__(self, bundle: str) -> None:
        self.runs = bundle
        self.history = [bundle]
        self.refuses: dict[str, Exception] = {}
        self.does: dict[str, BundleMetrics] = {}
        self.before_commit: Callable[[], None] = lambda: None
        self.after_commit: Callable[[], None] = lambda: None

    def prepare(self, directory: Path, bundle: str) -> "FakeSwitch":
        if bundle in self.refuses:
            raise self.refuses[bundle]
        found = (directory / "bundle.yaml").read_text().strip()
        if found != bundle:
            raise Refused(f"{directory} is {found}")

        return FakeSwitch(self, bundle)

    def bundle_metrics(self) -> BundleMetrics:
        return self.does.get(self.runs, GOOD_METRICS)


@dataclass
class FakeSwitch:
    """Implements PreparedSwitch."""

    host: FakeHost
    bundle: str

    def commit(self) -> None:
        self.host.before_commit()
        self.host.runs = self.bundle
        self.host.history.append(self.bundle)
        self.host.after_commit()
