"""A publisher's repository, made and signed in process. Bundles are added without a trial."""

import re
import shutil
from datetime import datetime
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.release import Release
from daemon.bundle.signature_lifetimes import DEFAULT_DAYS
from daemon.publisher.contents import describe_release
from daemon.publisher.keys import KeyRing
from daemon.publisher.repository import create_repository, open_repository, utc_now
from daemon.publisher.status import RefreshResult, Report, report


def another_version(bundle: Path, version: str, directory: Path) -> Path:
    """Copy a bundle under another version; return the copy."""
    copied = Path(shutil.copytree(bundle, directory, ignore=shutil.ignore_patterns("demo")))
    manifest = (copied / "bundle.yaml").read_text()
    (copied / "bundle.yaml").write_text(re.sub(r"(?m)^version: .*", f"version: {version}", manifest))
    return copied


class Repository:
    """Serve `public` and install `root` on devices. It signs at the time `now` (None: the present), for `days`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.public, self.root, self.keys = directory / "public", directory / "root.json", directory / "keys"
        self.days = dict(DEFAULT_DAYS)
        self.now: datetime | None = None
        self.environment: dict[str, str] = {}

    def init(self, root_keys: int = 1, threshold: int = 1) -> "Repository":
        create_repository(self.directory, self._ring(), root_keys, threshold, self.days, self._now())
        return self

    def add(self, bundle: Path, needs_perceptd: str = "0.1.0", memory_mb: int = 64) -> Release:
        release = describe_release(bundle, load_bundle(bundle).manifest, needs_perceptd, memory_mb)
        with open_repository(self.directory) as repository:
            repository.stage(release, bundle)
        return release

    def publish(self, commit: str | None = None) -> list[Release]:
        with open_repository(self.directory) as repository:
            return repository.publish(self._ring(), self._now(), commit)

    def refresh(self, *, is_clock_right: bool = False) -> RefreshResult:
        with open_repository(self.directory) as repository:
            return repository.refresh(self._ring(), self._now(), is_clock_right=is_clock_right)

    def rotate(self, role: str, slot: int = 1) -> list[Path]:
        with open_repository(self.directory) as repository:
            return repository.rotate(role, slot, self._ring(), self._now())

    def restore_files(self, release: Release, bundle: Path) -> int:
        with open_repository(self.directory) as repository:
            return repository.restore_files(release, bundle)

    def report(self) -> Report:
        with open_repository(self.directory) as repository:
            return report(repository.edition(), repository.staging.releases(), repository.flaws(), self._now())

    def _ring(self) -> KeyRing:
        return KeyRing([self.keys], self.environment)

    def _now(self) -> datetime:
        return self.now or utc_now()
