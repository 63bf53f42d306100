"""A device with a real updater: its source is a directory, its node a fake."""

import time
from collections.abc import Callable
from pathlib import Path

from daemon.config.updates import ModelsConfig
from daemon.updates.policy import BuiltInBundle, active_id
from daemon.updates.probation import ProbationPolicy
from daemon.updates.startup import Startup
from daemon.updates.taught_state import version_on
from daemon.updates.updater import Snapshot, Updater
from tests.fakes.bundle_host import FakeHost
from tests.fakes.stage_runner import LocalRunner
from tests.helpers.plain_bundles import write_bundle

BUILT_IN = "digits@0.4.0"
NOW_S = 1_790_000_000.0
PATIENCE_S = 20.0


class Device:
    """A context manager: starts on entering, stops on leaving; may be entered again."""

    def __init__(
        self, directory: Path, *, automatic: bool = False, quota_mb: float = 10.0, source: str | None = "source"
    ) -> None:
        """Without a source only what is taught replaces the built-in bundle."""
        self.directory = directory / "models"
        self.runner = LocalRunner(directory / "source")
        self.built_in = BuiltInBundle(BUILT_IN, write_bundle(directory / "own", "0.4.0"))
        where = None if source is None else f"file://{directory}/{source}"
        self.config = ModelsConfig(source=where, root=f"{directory}/root.json", automatic=automatic, quota_mb=quota_mb)
        self.policy = ProbationPolicy()
        self.now_s = NOW_S
        self.host = FakeHost("")
        self.teaches = True
        self.changes = 0

    def publish(self, version: str) -> Path:
        return write_bundle(self.runner.source, version)

    def __enter__(self) -> "Device":
        has_source = self.config.source is not None
        self.begin = Startup(
            self.directory, self.built_in, lambda: self.now_s, has_source=has_source, teaches=self.teaches
        )
        self.host.runs = self.begin.load(lambda directory, bundle: (directory / "bundle.yaml").read_text().strip())
        self.host.history = [self.host.runs]
        self.updater = Updater(self.config, self.begin, self.runner, self.host, "0.1.0", policy=self.policy)
        self.updater.start(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.updater.close(PATIENCE_S)

    def status(self) -> Snapshot:
        return self.updater.status()

    def until(self, holds: Callable[[Snapshot], object], why: str = "") -> Snapshot:
        """Wait until a condition holds for the status."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds(self.status()):
            assert time.monotonic() < deadline_s, f"{why}: {self.status()}"
            time.sleep(0.002)
        return self.status()

    def install(self, version: str) -> Snapshot:
        """Install a version, and wait for the result."""
        before = self.status().state.last_result
        assert self.updater.install("digits", version) is None
        return self.until(lambda status: status.state.last_result not in (before, None) and not self._is_busy(status))

    def teach(self, version: str, base: str = "0.4.0") -> str:
        """Write the directory of a taught version of digits, and ask for it; returns its id."""
        directory = self.write_taught(version, base)
        assert self.updater.install_local(directory, f"digits@{base}+taught.{version}") is None
        return f"digits@{base}+taught.{version}"

    def write_taught(self, version: str, base: str = "0.4.0") -> Path:
        return write_bundle(self.directory.parent / "drafts", f"{base}+taught.{version}")

    def until_runs(self, bundle: str) -> Snapshot:
        """Wait until a bundle runs and is confirmed."""
        return self.until(lambda status: self.host.runs == bundle and self.is_settled(status), bundle)

    def is_settled(self, status: Snapshot) -> bool:
        """Whether nothing is being installed, and nothing is on probation."""
        return not self._is_busy(status)

    def _is_busy(self, status: Snapshot) -> bool:
        version = version_on(status.taught, active_id(status.state, self.built_in))
        busy = (status.state.candidate, status.taught.candidate, status.state.probation)
        return any(each is not None for each in busy) or (version is not None and version.probation is not None)

    def _count(self) -> None:
        self.changes += 1
