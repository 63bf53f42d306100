"""Asks for each step of an update, and reads its answer."""

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.bundles.ports import Beat, Runner, Step
from daemon.bundles.requests import (
    DownloadRequest,
    DownloadResult,
    LookResult,
    ResolveRequest,
    ResolveResult,
    SourceRequest,
    VerifyRequest,
    VerifyResult,
)
from daemon.bundles.state import Slot
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

Reply = TypeVar("Reply", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    ok: bool
    kind: UpdateFault = "source"
    reason: str = "failed without a reason"
    result: dict[str, Any] = {}


class _Passed(BaseModel):
    """A bundle that passed a trial says nothing that matters here."""


class Stages:
    """The steps, each of which raises UpdateError when it fails, and Closing when `beat` does."""

    def __init__(self, runner: Runner, source: SourceRequest, config: Path | None) -> None:
        """`config` is the file that bundles must fit. Raises OSError without memory."""
        self._runner = runner
        self._source = source
        self._config = None if config is None else str(config)
        self._done = os.fdopen(shared_memory(_DONE.size), "r+b", buffering=0)

    @property
    def bytes_done(self) -> int:
        """How much of the latest download is there; callable from any thread."""
        done: int = _DONE.unpack(os.pread(self._done.fileno(), _DONE.size, 0))[0]
        return done

    def look(self, beat: Beat) -> LookResult:
        """What the source has."""
        return self._ask("look", self._source.model_dump_json(), LOOK_S, beat, LookResult)

    def resolve(self, name: str, version: str, beat: Beat) -> Release:
        """The files of one version."""
        request = ResolveRequest(**self._source.model_dump(), name=name, version=version)
        release = self._ask("resolve", request.model_dump_json(), LOOK_S, beat, ResolveResult).release
        if (release.signed.name, release.signed.version) != (name, version):
            raise UpdateError("source", f"{name}@{version} was asked for, and {release.id} answered")
        return release

    def download(self, release: Release, into: Path, have: Sequence[Path], beat: Beat) -> None:
        """Gather its files in a directory; those in the directories of `have` are copied."""
        done = self._done.fileno()
        os.pwrite(done, _DONE.pack(0), 0)
        request = DownloadRequest(
            **self._source.model_dump(), release=release, into=str(into), have=tuple(map(str, have)), progress=done
        )
        deadline_s = BESIDE_S + release.size / SLOWEST_FETCH
        self._ask("download", request.model_dump_json(), deadline_s, beat, DownloadResult, inherits=(done,))

    def verify(self, release: Release, into: Path, beat: Beat) -> None:
        """Have all of it on disk, and as it should be."""
        request = VerifyRequest(release=release, into=str(into))
        deadline_s = BESIDE_S + release.size / SLOWEST_DISK
        self._ask("verify", request.model_dump_json(), deadline_s, beat, VerifyResult)

    def check(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether the bundle is what it says, and fits the config."""
        request = _trial(release, directory) | {"config": self._config}
        self._ask("check", json.dumps(request), CHECK_S, beat, _Passed)

    def selftest(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether it computes what it did when it was made."""
        self._ask("selftest", json.dumps(_trial(release, directory)), SELFTEST_S, beat, _Passed)

    def _ask(
        self,
        step: Step,
        request: str,
        deadline_s: float,
        beat: Beat,
        reply: type[Reply],
        inherits: Sequence[int] = (),
    ) -> Reply:
        kind: UpdateFault = "bundle" if step in ("check", "selftest") else "source"
        try:
            text = self._runner.run(step, request, deadline_s, beat, inherits)
            answer = _Answer.model_validate_json(text)
            if answer.ok:
                return reply.model_validate_json(json.dumps(answer.result))
        except ChildError as error:
            raise UpdateError(kind, str(error)) from error
        except ValidationError as error:
            raise UpdateError(kind, f"the answer of {step} makes no sense: {_where(error)}") from error
        raise UpdateError(answer.kind, answer.reason)


def _trial(release: Release, directory: Path) -> dict[str, Any]:
    memory_mb = release.signed.memory_mb
    return {"release": release.model_dump(mode="json"), "directory": str(directory), "memory_mb": memory_mb}


def slot_of(release: Release) -> Slot:
    """What the state keeps of a release."""
    signed = release.signed
    return Slot(name=signed.name, version=signed.version, content=release.content, memory_mb=signed.memory_mb)


def _where(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'all of it'}: {problem['msg']}"
