"""Runs the steps of an update in child processes, and the ports through which the updater reaches other rooms."""

import json
import os
import resource
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.bundle.release import BundleFiles, Release
from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout, UpdateError, UpdateFault
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child import Child
from daemon.runtime.shared_memory import shared_memory
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
from daemon.updates.state import BundleMetrics

# what a child process does: list the releases of the source, or one of the stages before the switch
Step = Literal["list", "resolve", "download", "verify", "check", "selftest"]

# of a step that only reads signed metadata: four small files, each of which has a shorter limit of its own
METADATA_STEP_S = 300.0

# bytes a second: a slower source is an error; the slowest cards write some MB a second
MIN_FETCH_RATE = 1000.0
MIN_DISK_RATE = 500_000.0

# what a step needs on the slowest boards besides moving bytes
OVERHEAD_S = 60.0

# Private memory of the processes that fetch, interpreter and libraries included. On x86-64 with Python 3.11, the list
# of a small source takes 127 MB. With 5 MB of signed metadata, the most that TUF's client accepts, it takes 190 MB. A
# download takes 117 MB and its verification 107 MB, whatever the size of the files. Larger pages of memory take more.
# A bundle is tried within what its release declares (trial.py).
FETCH_MEMORY_MB: Mapping[Step, int] = {"list": 384, "resolve": 384, "download": 256, "verify": 256}

# how often a running step calls `beat`
POLL_S = 0.1

MB = 1024 * 1024

NO_SOURCE = "models.source in config.yaml is not set"

_BYTES_DONE = struct.Struct("<Q")

ResultT = TypeVar("ResultT", bound=BaseModel)


class Closing(Exception):
    """The daemon stops: the current work is abandoned."""


class Beat(Protocol):
    """Called at least once a second by long operations. Raises Closing when the daemon stops."""

    def __call__(self) -> None:
        """Mark progress."""


class PreparedSwitch(Protocol):
    """A loaded bundle that is ready to replace the running one."""

    def commit(self) -> None:
        """Switch to the bundle. Cannot fail."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A bundle with the labels that were taught here, fitted onto a new base: its directory and id, name@version."""

    directory: Path
    bundle_id: str


class Host(Protocol):
    """The node; called by the updater's thread."""

    def prepare(self, directory: Path, bundle: str) -> PreparedSwitch:
        """Load a bundle beside the running one; `bundle` is its id, name@version.

        Raises Refused when the bundle cannot be used.
        """

    def derive(self, directory: Path, bundle: str, beat: Beat) -> Derived | None:
        """Fit the labels that were taught onto the new base in a directory; `bundle` is its id, name@version.

        Returns what is to be installed in its place; None: the base as it is. Raises UpdateError, of kind `waits` when
        the labels cannot be fitted onto it now.
        """

    def bundle_metrics(self) -> BundleMetrics:
        """The metrics of the running bundle: of its latest 500 moments, or on probation since it became active."""


class Runner(Protocol):
    """Runs steps where a failure cannot harm the node."""

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat | None, inherits: Sequence[int] = ()) -> str:
        """The answer of the step, one JSON object. `inherits` are file descriptors that the step may use.

        Raises ChildError when the step fails (ChildTimeout: at the deadline), UpdateError when it cannot start.
        """


class ChildRunner:
    """Runs each step in its own child process. Implements Runner."""

    def __init__(self, functions: Mapping[Step, Callable[[str], None]]) -> None:
        """`functions` has the function that a child process calls with the step's request."""
        self._functions = functions

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat | None, inherits: Sequence[int] = ()) -> str:
        """What the step printed. Raises as `Runner.run` does; UpdateError when no process can be started.

        A step that fetches cannot have more than `FETCH_MEMORY_MB`. A step that tries a bundle confines itself.
        """
        try:
            child = Child(self._functions[step], request, inherits=inherits)
        except ChildError as error:
            raise UpdateError("memory", str(error)) from error
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        with child:
            if (memory_mb := FETCH_MEMORY_MB.get(step)) is not None:
                _limit_memory(child.pid, memory_mb * MB)
            while not child.has_ended(POLL_S):
                if beat is not None:
                    beat()
                if monotonic_ns() > deadline_ns:
                    raise ChildTimeout(deadline_s)
            return child.result(0)


class Steps:
    """The steps of an update. Each method raises UpdateError when the step fails, and Closing when `beat` does."""

    def __init__(self, runner: Runner, origin: SourceRequest | None, config: Path | None) -> None:
        """`config` is the config file that bundles must match. Raises OSError without memory.

        Without an `origin` nothing can be fetched.
        """
        self._runner = runner
        self._source = origin
        self._config = None if config is None else str(config)
        self._progress = os.fdopen(shared_memory(_BYTES_DONE.size), "r+b", buffering=0)

    @property
    def bytes_done(self) -> int:
        """How many bytes of the latest download are on disk; callable from any thread."""
        done: int = _BYTES_DONE.unpack(os.pread(self._progress.fileno(), _BYTES_DONE.size, 0))[0]
        return done

    @property
    def _origin(self) -> SourceRequest:
        if self._source is None:
            raise UpdateError("source", NO_SOURCE)
        return self._source

    def list_releases(self, beat: Beat | None) -> ReleaseList:
        """The releases of the source, and why others are left out."""
        return _result("list", self._fetch("list", self._origin, METADATA_STEP_S, beat), ReleaseList)

    def resolve(self, name: str, version: str, beat: Beat) -> Release:
        """The signed release of one version."""
        request = ResolveRequest(**dict(self._origin), name=name, version=version)
        release = _result("resolve", self._fetch("resolve", request, METADATA_STEP_S, beat), ResolveResult).release
        if (release.signed.name, release.signed.version) != (name, version):
            raise UpdateError("source", f"asked for {name}@{version}, got {release.id}")
        return release

    def download(self, release: Release, into: Path, have: Sequence[Path], beat: Beat) -> None:
        """Fetch the files of the release into a directory; files that the directories `have` contain are copied."""
        progress = self._progress.fileno()
        os.pwrite(progress, _BYTES_DONE.pack(0), 0)
        request = DownloadRequest(
            **dict(self._origin), release=release, into=str(into), have=tuple(map(str, have)), progress=progress
        )
        self._fetch("download", request, OVERHEAD_S + release.size / MIN_FETCH_RATE, beat, inherits=(progress,))

    def verify(self, release: Release, into: Path, beat: Beat) -> None:
        """Flush the downloaded files to disk and compare them with the release."""
        request = VerifyRequest(release=release, into=str(into))
        self._fetch("verify", request, OVERHEAD_S + release.size / MIN_DISK_RATE, beat)

    def check(self, release: BundleFiles, directory: Path, beat: Beat) -> None:
        """Check that the bundle is the release and matches the config."""
        memory_mb = release.signed.memory_mb
        request = CheckRequest(release=release, directory=str(directory), memory_mb=memory_mb, config=self._config)
        self._test_bundle("check", request, CHECK_S, beat)

    def selftest(self, release: BundleFiles, directory: Path, beat: Beat) -> None:
        """Run the bundle's stored cases."""
        request = SelftestRequest(release=release, directory=str(directory), memory_mb=release.signed.memory_mb)
        self._test_bundle("selftest", request, SELFTEST_S, beat)

    def _fetch(
        self, step: Step, request: BaseModel, deadline_s: float, beat: Beat | None, inherits: Sequence[int] = ()
    ) -> "_Answer":
        try:
            text = self._runner.run(step, request.model_dump_json(), deadline_s, beat, inherits)
        except ChildError as error:
            raise fetch_failure(error) from error
        return _answer(step, text, "source")

    def _test_bundle(self, step: Step, request: SelftestRequest, deadline_s: float, beat: Beat) -> None:
        try:
            text = self._runner.run(step, request.model_dump_json(), deadline_s, beat)
        except ChildError as error:
            raise bundle_failure(error, request.memory_mb) from error
        _answer(step, text, "bundle")


def _limit_memory(pid: int, most_bytes: int) -> None:
    """Limit the private memory of a process; an allocation beyond it fails there. Raises ChildError."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    try:
        with suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
    except OSError as error:
        raise ChildError(f"its memory cannot be limited: {error}") from error


def fetch_failure(error: ChildError) -> UpdateError:
    """The error of a process that reads from the source, so the source is to blame."""
    return UpdateError("source", _timeout_text(error) if isinstance(error, ChildTimeout) else str(error))


def bundle_failure(error: ChildError, memory_mb: int) -> UpdateError:
    """The error of a process that loads a bundle, so mostly the bundle is to blame.

    `memory_mb` is the memory that was declared for the bundle.
    """
    if isinstance(error, ChildTimeout):
        return UpdateError("bundle", _timeout_text(error))
    if not isinstance(error, ChildCrashed):
        return UpdateError("bundle", str(error))
    match error.signal_name:
        case "SIGKILL":  # sent by the kernel to a process whose memory it needs
            return UpdateError("memory", f"{error}: the system may have run out of memory")
        case "SIGABRT":  # raised by C++ when an allocation fails
            return UpdateError("bundle", f"{error}: it may need more than the {memory_mb} MB that were declared")
        case "SIGXCPU":
            return UpdateError("bundle", "used up its processor time without finishing")
    return UpdateError("bundle", f"its models crash the runtime: {error}")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    ok: bool
    kind: UpdateFault = "source"
    reason: str = "failed without a reason"
    result: dict[str, Any] = {}


def _answer(step: Step, text: str, kind: UpdateFault) -> _Answer:
    """The parsed answer. Raises UpdateError if it reports one; of `kind`, if it cannot be parsed."""
    try:
        answer = _Answer.model_validate_json(text)
    except ValidationError as error:
        raise _unusable(step, kind, error) from error
    if not answer.ok:
        raise UpdateError(answer.kind, answer.reason)
    return answer


def _result(step: Step, answer: _Answer, kind: type[ResultT]) -> ResultT:
    try:
        return kind.model_validate_json(json.dumps(answer.result))
    except ValidationError as error:
        raise _unusable(step, "source", error) from error


def _unusable(step: Step, kind: UpdateFault, error: ValidationError) -> UpdateError:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"])) or "as a whole"
    return UpdateError(kind, f"the answer of step {step} cannot be used: {where}: {problem['msg']}")


def _timeout_text(error: ChildTimeout) -> str:
    return f"did not finish within {error.deadline_s:g} s"
