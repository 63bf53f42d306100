"""Asks for each step of an update, and reads its answer."""

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.bundles.ports import Beat, Runner, Step
from daemon.bundles.state import OFFERS, Offer, Slot
from daemon.errors import ChildError, UpdateError, UpdateFault
from daemon.release import Release
from daemon.runtime.child import shared_memory

LOOK_S = 300.0
"""For four small files of metadata from a slow source; each has a time of its own, which ends sooner."""

SLOWEST_FETCH = 1000.0
SLOWEST_DISK = 500_000.0
"""Bytes a second. A source that is slower is given up; the slowest cards write a few MB a second."""

BESIDE_S = 60.0
"""For what a step does beside moving bytes, on the slowest boards."""

CHECK_S = 60.0
SELFTEST_S = 120.0
"""A board of a Pi Zero's class loads a bundle in seconds and computes each stored case in less than one."""

_DONE = struct.Struct("<Q")

Reply = TypeVar("Reply", bound="_Reply")


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class _Answer(_Reply):
    ok: bool
    kind: UpdateFault = "source"
    reason: str = "failed without a reason"
    result: dict[str, Any] = {}


class Looked(_Reply):
    """What a source has, and why some of it is skipped."""

    releases: Annotated[tuple[Offer, ...], Field(max_length=OFFERS)]
    skipped: tuple[str, ...] = ()


class _Resolved(_Reply):
    release: Release


class _Nothing(_Reply):
    pass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where bundles come from: the source's URL, the root.json it is trusted by, the directory of its metadata."""

    source: str
    root: Path
    metadata: Path
    perceptd: str

    def as_request(self) -> dict[str, Any]:
        """Its part of a request."""
        return {
            "source": self.source,
            "root": str(self.root),
            "metadata": str(self.metadata),
            "perceptd": self.perceptd,
        }


class Stages:
    """The steps, each of which raises UpdateError when it fails, and Closing when `beat` does."""

    def __init__(self, runner: Runner, origin: Origin, config: Path | None) -> None:
        """`config` is the file that bundles must fit. Raises OSError without memory."""
        self._runner = runner
        self._origin = origin
        self._config = None if config is None else str(config)
        self._done = os.fdopen(shared_memory(_DONE.size), "r+b", buffering=0)

    @property
    def bytes_done(self) -> int:
        """How much of the latest download is there; callable from any thread."""
        done: int = _DONE.unpack(os.pread(self._done.fileno(), _DONE.size, 0))[0]
        return done

    def look(self, beat: Beat) -> Looked:
        """What the source has."""
        return self._ask("look", self._origin.as_request(), LOOK_S, beat, Looked)

    def resolve(self, name: str, version: str, beat: Beat) -> Release:
        """The files of one version."""
        request = self._origin.as_request() | {"name": name, "version": version}
        release = self._ask("resolve", request, LOOK_S, beat, _Resolved).release
        if (release.signed.name, release.signed.version) != (name, version):
            raise UpdateError("source", f"{name}@{version} was asked for, and {release.id} answered")
        return release

    def download(self, release: Release, into: Path, have: Sequence[Path], beat: Beat) -> None:
        """Gather its files in a directory; those in the directories of `have` are copied."""
        done = self._done.fileno()
        os.pwrite(done, _DONE.pack(0), 0)
        request = self._origin.as_request() | {
            "release": release.model_dump(mode="json"),
            "into": str(into),
            "have": [str(path) for path in have],
            "progress": done,
        }
        deadline_s = BESIDE_S + release.size / SLOWEST_FETCH
        self._ask("download", request, deadline_s, beat, _Nothing, inherits=(done,))

    def verify(self, release: Release, into: Path, beat: Beat) -> None:
        """Have all of it on disk, and as it should be."""
        request = {"release": release.model_dump(mode="json"), "into": str(into)}
        self._ask("verify", request, BESIDE_S + release.size / SLOWEST_DISK, beat, _Nothing)

    def check(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether the bundle is what it says, and fits the config."""
        request = self._trial(release, directory) | {"config": self._config}
        self._ask("check", request, CHECK_S, beat, _Nothing)

    def selftest(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether it computes what it did when it was made."""
        self._ask("selftest", self._trial(release, directory), SELFTEST_S, beat, _Nothing)

    def _trial(self, release: Release, directory: Path) -> dict[str, Any]:
        memory_mb = release.signed.memory_mb
        return {"release": release.model_dump(mode="json"), "directory": str(directory), "memory_mb": memory_mb}

    def _ask(
        self,
        step: Step,
        request: dict[str, Any],
        deadline_s: float,
        beat: Beat,
        reply: type[Reply],
        inherits: Sequence[int] = (),
    ) -> Reply:
        kind: UpdateFault = "bundle" if step in ("check", "selftest") else "source"
        try:
            text = self._runner.run(step, json.dumps(request), deadline_s, beat, inherits)
            answer = _Answer.model_validate_json(text)
            if answer.ok:
                return reply.model_validate_json(json.dumps(answer.result))
        except ChildError as error:
            raise UpdateError(kind, str(error)) from error
        except ValidationError as error:
            raise UpdateError(kind, f"the answer of {step} makes no sense: {_where(error)}") from error
        raise UpdateError(answer.kind, answer.reason)


def slot_of(release: Release) -> Slot:
    """What the state keeps of a release."""
    signed = release.signed
    return Slot(name=signed.name, version=signed.version, content=release.content, memory_mb=signed.memory_mb)


def _where(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'all of it'}: {problem['msg']}"
