"""Runs the steps of an update in this process, with a directory as the source."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.bundle.release import FILE_LIST_NAME, BundleFiles, Release, file_list
from daemon.core.files import replace_file, sync_directory
from daemon.updates.steps import Beat, Step
from tests.helpers.plain_bundles import entries_of, release_of

Fault = Exception | dict[str, Any]


class LocalRunner:
    """Implements Runner. The directories NAME/VERSION below `source` are the releases.

    `faults` of a step are raised or returned, one at each run; then the step works. `before` is called before each
    step.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.faults: dict[str, list[Fault]] = {}
        self.before: Callable[[Step, Beat], None] = lambda step, beat: None
        self.ran: list[str] = []
        self.copied: list[str] = []
        self.memory_mb = 1
        self.needs: dict[str, str] = {}

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        self.ran.append(step)
        self.before(step, beat)
        faults = self.faults.get(step, [])
        if faults:
            fault = faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return json.dumps(fault)
        try:
            result = getattr(self, f"_{step}")(json.loads(request))
        except OSError as error:
            return json.dumps({"ok": False, "kind": "disk", "reason": f"{error.filename or step}: {error.strerror}"})
        return json.dumps({"ok": True, "result": result})

    def _release(self, directory: Path) -> Release:
        needs = self.needs.get(directory.name, "0.1.0")
        return release_of(directory, memory_mb=self.memory_mb, needs=needs)

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        releases = [self._release(path) for path in sorted(self.source.glob("*/*"))]
        offers = [release.signed.model_dump() | {"size": release.size} for release in releases]
        return {"releases": offers, "skipped": []}

    def _resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"release": self._release(self.source / request["name"] / request["version"]).model_dump(mode="json")}

    def _download(self, request: dict[str, Any]) -> dict[str, Any]:
        release, into = _release_in(request), Path(request["into"])
        done = 0
        for entry in release.files:
            path = into / entry.path
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                shutil.copyfile(self.source / release.signed.name / release.signed.version / entry.path, into / ".new")
                (into / ".new").replace(path)
                self.copied.append(entry.path)
            done += entry.length
            os.pwrite(request["progress"], done.to_bytes(8, "little"), 0)
        return {"fetched": done, "reused": 0}

    def _verify(self, request: dict[str, Any]) -> dict[str, Any]:
        release, into = _release_in(request), Path(request["into"])
        for entry in release.files:
            _sync(into / entry.path)
        assert set(release.files) <= set(entries_of(into))
        replace_file(into / FILE_LIST_NAME, file_list(release.files))
        for directory in sorted({(into / entry.path).parent for entry in release.files}, reverse=True):
            sync_directory(directory)
        return {}

    def _check(self, request: dict[str, Any]) -> dict[str, Any]:
        release = BundleFiles.model_validate_json(json.dumps(request["release"]))
        assert (Path(request["directory"]) / "bundle.yaml").read_text() == f"{release.id}\n"
        return {}

    def _selftest(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"seconds": 0.0}


def _release_in(request: dict[str, Any]) -> Release:
    return Release.model_validate_json(json.dumps(request["release"]))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
