"""A node whose bundle can be replaced, without encoders or fusion."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.core.errors import Refused
from daemon.updates.state import BundleMetrics
from daemon.updates.steps import Beat, Derived

GOOD_METRICS = BundleMetrics(moments=500, errors=0, p99_ms=100.0, mean_top_score=0.9)


class FakeHost:
    """Implements Host. A bundle's id is the only line of its bundle.yaml.

    `runs` is the active bundle, `history` all that were active. `refuses` maps bundles to the error of `prepare`,
    `does` maps them to their metrics. `derives` maps new bases to what their derivation gives, or to its error;
    `derived` are the bases that were asked for.
    """

    def __init__(self, bundle: str) -> None:
        self.runs = bundle
        self.history = [bundle]
        self.refuses: dict[str, Exception] = {}
        self.does: dict[str, BundleMetrics] = {}
        self.derives: dict[str, Derived | Exception] = {}
        self.derived: list[str] = []
        self.before_commit: Callable[[], None] = lambda: None
        self.after_commit: Callable[[], None] = lambda: None

    def prepare(self, directory: Path, bundle: str) -> "FakeSwitch":
        if bundle in self.refuses:
            raise self.refuses[bundle]
        found = (directory / "bundle.yaml").read_text().strip()
        if found != bundle:
            raise Refused(f"{directory} is {found}")

        return FakeSwitch(self, bundle)

    def derive(self, directory: Path, bundle: str, beat: Beat) -> Derived | None:
        self.derived.append(bundle)
        answer = self.derives.get(bundle)
        if isinstance(answer, Exception):
            raise answer
        return answer

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
