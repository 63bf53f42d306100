"""A device as the child processes see it: a root.json, TUF's cache and the directories of bundles."""

import contextlib
import io
import json
import os
import struct
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import BaseModel

from daemon.bundle.release import Release
from daemon.core.errors import UpdateError
from daemon.runtime.shared_memory import shared_memory
from daemon.updates.fetch import main as fetch
from daemon.updates.messages import DownloadResult, ReleaseList, ResolveResult, VerifyResult

FILES = {
    "bundle.yaml": b"name: digits\n",
    "image.tflite": bytes(range(256)) * 200,
    "head.tflite": b"head" * 500,
    "selftest/cases.yaml": b"cases: []\n",
}


ResultT = TypeVar("ResultT", bound=BaseModel)


class Device:
    """Calls the functions of the child processes in this process."""

    def __init__(self, directory: Path, source: str, root: Path) -> None:
        self.store = directory / "models"
        self.metadata = self.store / "tuf"
        self.source, self.root = source, root
        self.perceptd = "0.1.0"
        self._progress = shared_memory(8)

    def list_releases(self) -> ReleaseList:
        return read_answer(call("list_releases", self.from_source()), ReleaseList)

    def resolve(self, name: str = "digits", version: str = "1.0.0") -> Release:
        request = {**self.from_source(), "name": name, "version": version}
        return read_answer(call("resolve", request), ResolveResult).release

    def download(self, release: Release, *have: Path) -> DownloadResult:
        request = {
            **self.from_source(),
            "release": release.model_dump(mode="json"),
            "into": str(self.into(release)),
            "have": [str(slot) for slot in have],
            "progress": self._progress,
        }
        return read_answer(call("download", request), DownloadResult)

    def verify(self, release: Release) -> VerifyResult:
        request = {"release": release.model_dump(mode="json"), "into": str(self.into(release))}
        return read_answer(call("verify", request), VerifyResult)

    def fetch(self, name: str = "digits", version: str = "1.0.0") -> Path:
        """All of it, into a slot."""
        release = self.resolve(name, version)
        self.download(release)
        self.verify(release)
        return self.into(release)

    def refused(self, *arguments: str) -> UpdateError:
        """Why a bundle cannot be fetched; and nothing that could be used is there."""
        with pytest.raises(UpdateError) as caught:
            self.fetch(*arguments)
        assert not list(self.store.rglob("files.txt"))
        assert "\n" not in str(caught.value)
        return caught.value

    def into(self, release: Release) -> Path:
        return self.store / "partial" / release.content

    def from_source(self) -> dict:
        return {
            "source": self.source,
            "root": str(self.root),
            "metadata": str(self.metadata),
            "perceptd": self.perceptd,
        }

    @property
    def progress(self) -> int:
        """Bytes, as the parent sees them."""
        return struct.unpack("<Q", os.pread(self._progress, 8, 0))[0]


def read_answer(text: str, result: type[ResultT]) -> ResultT:
    """The result in an answer. Raises the UpdateError that it reports."""
    answer = json.loads(text)
    if answer["ok"]:
        return result.model_validate_json(json.dumps(answer["result"]))
    raise UpdateError(answer["kind"], answer["reason"])


def call(stage: str, request: dict) -> str:
    """What a step prints."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        getattr(fetch, stage)(json.dumps(request))
    assert len(output.getvalue()) < 64 * 1024
    return output.getvalue()


def files_below(directory: Path) -> dict[str, bytes]:
    """The files below a directory, by path."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }
