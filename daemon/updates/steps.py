"""Asks for each step of an update, and reads its answer."""

import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.bundle.release import Release
from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout, UpdateError, UpdateFault
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child import Child, shared_memory
from daemon.updates.messages import (
    CHECK_S,
    SELFTEST_S,
    CheckRequest,
    DownloadRequest,
    ReleaseList,
    ResolveRequest,
    ResolveResult,
    SelftestRequest,
    SourceRequest,
    VerifyRequest,
)
from daemon.updates.state import BundleMetrics, Slot

KILLED, ABORTED = "SIGKILL", "SIGABRT"
"""How the system ends whoever it takes memory from, and how C++ ends that gets none."""


def bundle_failure(error: ChildError, memory_mb: int) -> UpdateError:
    """The process that tried a bundle, for which so much memory was declared: mostly it is the bundle's fault."""
    if isinstance(error, ChildCrashed) and error.signal_name == KILLED:
        return UpdateError("memory", f"{error}: the system may have had no memory left")
    return UpdateError("bundle", _tried(error, memory_mb))


def fetch_failure(error: ChildError) -> UpdateError:
    """A process that fetches: what is read there comes from the source."""
    return UpdateError(
        "source", f"not done within {error.deadline_s:g} s" if isinstance(error, ChildTimeout) else str(error)
    )


def _tried(error: ChildError, memory_mb: int) -> str:
    if isinstance(error, ChildTimeout):
        return f"is not done within {error.deadline_s:g} s"
    if not isinstance(error, ChildCrashed):
        return str(error)
    if error.signal_name == "SIGXCPU":
        return "uses up its processor time, and is not done"
    if error.signal_name == ABORTED:
        return f"{error}, as where more than the {memory_mb} MB that were declared are needed"
    return f"its models crash the runtime: {error}"


Beat = Callable[[], None]
"""Called at least once a second by what takes long; raises Closing when it is to be given up."""

Step = Literal["look", "resolve", "download", "verify", "check", "selftest"]
"""What is done in a child process: a look at the source, and the stages before the switch."""


class Closing(Exception):
    """The daemon stops: what is being done is given up."""


class Host(Protocol):
    """The node; called by the updater's thread."""

    def prepare(self, directory: Path, bundle: str) -> Callable[[], None]:
        """Load a bundle beside the running one; what is returned switches to it, and cannot fail.

        `bundle` is its id, name@version. Raises Refused when it cannot be used.
        """

    def bundle_metrics(self) -> BundleMetrics:
        """How the running bundle does: in its latest 500 moments, or since it took over if it is on probation."""


class Runner(Protocol):
    """Runs what a step does, where it can harm nobody."""

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        """The step's answer: one JSON object. `inherits` are descriptors it may use.

        Raises ChildError when it fails (Late: not done in time), UpdateError when it cannot even begin.
        """


LOOK_S = 300.0
"""For four small files of metadata from a slow source; each has a time of its own, which ends sooner."""

SLOWEST_FETCH = 1000.0
SLOWEST_DISK = 500_000.0
"""Bytes a second. A source that is slower is given up; the slowest cards write a few MB a second."""

BESIDE_S = 60.0
"""For what a step does beside moving bytes, on the slowest boards."""

_DONE = struct.Struct("<Q")

ResultT = TypeVar("ResultT", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    ok: bool
    kind: UpdateFault = "source"
    reason: str = "failed without a reason"
    result: dict[str, Any] = {}


class Steps:
    """The steps, each of which raises UpdateError when it fails, and Closing when `beat` does."""

    def __init__(self, runner: Runner, origin: SourceRequest, config: Path | None) -> None:
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

    def look(self, beat: Beat) -> ReleaseList:
        """What the source has, and why some of it is skipped."""
        return _result("look", self._fetch("look", self._origin, LOOK_S, beat), ReleaseList)

    def resolve(self, name: str, version: str, beat: Beat) -> Release:
        """The files of one version."""
        request = ResolveRequest(**dict(self._origin), name=name, version=version)
        release = _result("resolve", self._fetch("resolve", request, LOOK_S, beat), ResolveResult).release
        if (release.signed.name, release.signed.version) != (name, version):
            raise UpdateError("source", f"{name}@{version} was asked for, and {release.id} answered")
        return release

    def download(self, release: Release, into: Path, have: Sequence[Path], beat: Beat) -> None:
        """Gather its files in a directory; those in the directories of `have` are copied."""
        done = self._done.fileno()
        os.pwrite(done, _DONE.pack(0), 0)
        request = DownloadRequest(
            **dict(self._origin), release=release, into=str(into), have=tuple(map(str, have)), progress=done
        )
        self._fetch("download", request, BESIDE_S + release.size / SLOWEST_FETCH, beat, inherits=(done,))

    def verify(self, release: Release, into: Path, beat: Beat) -> None:
        """Have all of it on disk, and as it should be."""
        request = VerifyRequest(release=release, into=str(into))
        self._fetch("verify", request, BESIDE_S + release.size / SLOWEST_DISK, beat)

    def check(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether the bundle is what it says, and fits the config."""
        memory_mb = release.signed.memory_mb
        request = CheckRequest(release=release, directory=str(directory), memory_mb=memory_mb, config=self._config)
        self._try("check", request, CHECK_S, beat)

    def selftest(self, release: Release, directory: Path, beat: Beat) -> None:
        """Whether it computes what it did when it was made."""
        request = SelftestRequest(release=release, directory=str(directory), memory_mb=release.signed.memory_mb)
        self._try("selftest", request, SELFTEST_S, beat)

    def _fetch(
        self, step: Step, request: BaseModel, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()
    ) -> _Answer:
        try:
            text = self._runner.run(step, request.model_dump_json(), deadline_s, beat, inherits)
        except ChildError as error:
            raise fetch_failure(error) from error
        return _answer(step, text, "source")

    def _try(self, step: Step, request: SelftestRequest, deadline_s: float, beat: Beat) -> None:
        try:
            text = self._runner.run(step, request.model_dump_json(), deadline_s, beat)
        except ChildError as error:
            raise bundle_failure(error, request.memory_mb) from error
        _answer(step, text, "bundle")


def slot_of(release: Release) -> Slot:
    """What the state keeps of a release."""
    signed = release.signed
    return Slot(name=signed.name, version=signed.version, content=release.content, memory_mb=signed.memory_mb)


def _answer(step: Step, text: str, kind: UpdateFault) -> _Answer:
    """`kind` says whose fault it is when the answer makes no sense."""
    try:
        answer = _Answer.model_validate_json(text)
    except ValidationError as error:
        raise _senseless(step, kind, error) from error
    if not answer.ok:
        raise UpdateError(answer.kind, answer.reason)
    return answer


def _result(step: Step, answer: _Answer, kind: type[ResultT]) -> ResultT:
    try:
        return kind.model_validate_json(json.dumps(answer.result))
    except ValidationError as error:
        raise _senseless(step, "source", error) from error


def _senseless(step: Step, kind: UpdateFault, error: ValidationError) -> UpdateError:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"])) or "all of it"
    return UpdateError(kind, f"the answer of {step} makes no sense: {where}: {problem['msg']}")


POLL_S = 0.1
"""How often it is asked meanwhile whether to go on."""


class ChildRunner:
    """Runs each step in a child process of its own. Implements Runner."""

    def __init__(self, functions: Mapping[Step, Callable[[str], None]]) -> None:
        """`functions` are what the child processes call with a step's request."""
        self._functions = functions

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        """What the step printed.

        Raises ChildError when it failed, Late when it took too long, UpdateError when there is no room for a process.
        """
        try:
            child = Child(self._functions[step], request, inherits=inherits)
        except ChildError as error:
            raise UpdateError("memory", str(error)) from error
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        with child:
            while not child.has_ended(POLL_S):
                beat()
                if monotonic_ns() > deadline_ns:
                    raise ChildTimeout(deadline_s)
            return child.result(0)
