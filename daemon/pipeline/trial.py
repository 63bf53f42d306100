"""What a bundle from afar must pass in a child process before anything of it is loaded here.

It is signed, but its publisher may have been careless. So nothing it says is believed, and the child it is tried in has
no more memory and time than a good one needs.
"""

import json
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from daemon.bundle.bundle import CASES_FILE, Bundle, Case, load_bundle, load_cases
from daemon.bundle.release import SELFTEST_PREFIX, Release
from daemon.config.node import Config, load_config
from daemon.core.document import Loaded
from daemon.core.errors import (
    BundleError,
    ChildError,
    DocumentError,
    MismatchError,
    ModelError,
    Refused,
    UpdateError,
    UpdateFault,
)
from daemon.pipeline.offline import failures_in_short, tried
from daemon.pipeline.offline import selftest as run_cases
from daemon.pipeline.recogniser import check_matches_config, load_recogniser
from daemon.runtime.child import MAX_OUTPUT_BYTES, MAX_REASON_CHARS, Child
from daemon.runtime.child_main import Failed, confine
from daemon.updates.messages import CHECK_S, SELFTEST_S, CheckRequest, SelftestRequest


def must_be(release: Release, bundle: Bundle) -> None:
    """Raises BundleError when the bundle is not the release, names files that are not signed, or cannot be tried."""
    for key in ("name", "version"):
        found, signed = getattr(bundle.manifest, key), getattr(release.signed, key)
        if found != signed:
            raise bundle.problem(f"is {found}, but was signed as {signed}", key)
    files = {entry.path for entry in release.files}
    if SELFTEST_PREFIX + CASES_FILE not in files:
        raise bundle.problem(
            f"there is no {SELFTEST_PREFIX}{CASES_FILE}, and what cannot be tried is not used", "selftest"
        )
    cases = [case for case, _ in load_cases(bundle)]
    _must_be_signed(bundle, cases, files)
    _must_try_all(bundle, cases)


def _must_be_signed(bundle: Bundle, cases: Sequence[Case], files: Set[str]) -> None:
    for name, where in (*_models(bundle), *_inputs(cases)):
        if name not in files:
            raise bundle.problem(f"{name} is not among its signed files", *where)


def _must_try_all(bundle: Bundle, cases: Sequence[Case]) -> None:
    for modality in bundle.manifest.modalities.present():
        if all(getattr(case, modality) is None for case in cases):
            raise bundle.problem(f"no case has {modality}, so that its model cannot be tried", "selftest")


def _models(bundle: Bundle) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each model's file, with the key that names it in the manifest."""
    for modality, spec in bundle.manifest.modalities.present().items():
        yield spec.model, ("modalities", modality, "model")
        if spec.edgetpu is not None:
            yield spec.edgetpu, ("modalities", modality, "edgetpu")
    yield bundle.manifest.head.model, ("head", "model")


def _inputs(cases: Sequence[Case]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for case in cases:
        for name in (case.image, case.audio):
            if name is not None:
                yield SELFTEST_PREFIX + name, ("selftest",)


ALLOWANCE_MB = 64
"""Beside what was declared for the models: for what reads a manifest, a picture (24 MB for one of 8 million pixels), a
sound (12 MB for a minute at 16 kHz: decoded, resampled, padded), and for the allocator's own share."""

WARM_SIDE = 256
"""Of a product large enough for OpenBLAS to take its buffer."""


RequestT = TypeVar("RequestT", bound=SelftestRequest)


def check(request: str) -> None:
    """In a child process: whether manifest, files, tensors and config fit together.

    `request` is a CheckRequest as JSON. Prints the answer as JSON. Raises Failed when the bundle does what nobody
    has foreseen.
    """
    order = CheckRequest.model_validate_json(request)
    _prepare(order, CHECK_S)
    _answer(order, _check)


def selftest(request: str) -> None:
    """In a child process: whether the stored cases come out as stored.

    `request` is a SelftestRequest as JSON. Prints the answer as JSON, with the seconds they took. Raises Failed when
    the bundle does what nobody has foreseen.
    """
    order = SelftestRequest.model_validate_json(request)
    _prepare(order, SELFTEST_S)
    _answer(order, _selftest)


def _prepare(order: SelftestRequest, seconds: float) -> None:
    """Take first what the libraries take once, whatever the bundle: it shall not count as the bundle's."""
    product = np.ones((WARM_SIDE, WARM_SIDE), np.float32)
    np.matmul(product, product)
    confine(order.memory_mb + ALLOWANCE_MB, seconds, MAX_OUTPUT_BYTES)


def _answer(order: RequestT, work: Callable[[RequestT], dict[str, float]]) -> None:
    """Print what came of the work."""
    said = None
    with suppress(MemoryError):  # to say so takes memory: what the work holds is given back when this block is left
        said = _said_of(order, work)
    answer = said or _fault("bundle", f"needs more than the {order.memory_mb} MB that were declared")
    print(json.dumps(answer))  # noqa: T201  (the parent reads it)


def _said_of(order: RequestT, work: Callable[[RequestT], dict[str, float]]) -> dict[str, object]:
    try:
        return {"ok": True, "result": work(order)}
    except MemoryError:
        raise
    except UpdateError as error:
        return _fault(error.kind, str(error))
    except Refused as error:
        return _fault("bundle", _in_words(error, order))
    except Exception as error:  # whatever it is, this bundle brings it about
        traceback.print_exc()
        raise Failed(f"cannot be tried: {type(error).__name__}: {error}") from error


def _fault(kind: UpdateFault, reason: str) -> dict[str, object]:
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return {"ok": False, "kind": kind, "reason": printable[:MAX_REASON_CHARS]}


def _check(order: CheckRequest) -> dict[str, float]:
    bundle = load_bundle(Path(order.directory))
    must_be(order.release, bundle)
    if order.config is not None:
        check_matches_config(bundle.manifest, _config(order.config))
    load_recogniser(bundle)
    return {}


def _selftest(order: SelftestRequest) -> dict[str, float]:
    bundle = load_bundle(Path(order.directory))
    recogniser = load_recogniser(bundle)
    began = time.monotonic()
    failures = run_cases(bundle, recogniser)
    if failures:
        raise BundleError(failures_in_short(failures))
    return {"seconds": time.monotonic() - began}


def _config(path: str) -> Loaded[Config]:
    """The node's config; one that somebody is changing just now is no fault of the bundle."""
    try:
        return load_config(Path(path))
    except DocumentError as error:
        raise UpdateError("disk", f"the node's config cannot be used: {failures_in_short(error.problems)}") from error


def _in_words(error: Refused, order: SelftestRequest) -> str:
    """On one line, with names of files as they stand in the bundle."""
    reason = failures_in_short(str(error).splitlines()).replace(f"{order.directory}/", "")
    if any(isinstance(one, ModelError) and not isinstance(one, MismatchError) for one in (error, error.__cause__)):
        return f"{reason}; it had the {order.memory_mb} MB that were declared"  # it seldom says that it lacks memory
    return reason


TRIAL_S = 120.0
"""What takes longer on the machine of a publisher is none for a small device."""

STEP_MB = 8
"""Memory needs are rounded up to this: two measurements differ by a page here and there, and so do processors."""

LEAST_MB = 16
"""The runtime itself takes some megabytes that were in memory already when this was measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A bundle whose self-test is good: how many seconds that took, and how much memory to declare."""

    seconds: float
    memory_mb: int


def try_bundle(directory: Path) -> Trial:
    """Load a bundle and run its self-test, as devices will. Raises BundleError with all that is wrong."""
    try:
        with Child(measure_in_child, str(directory)) as child:
            result = json.loads(child.result(TRIAL_S))
    except ChildError as error:
        raise BundleError(f"{directory}: cannot be published: loading it or its self-test: {error}") from error
    if result["failures"]:
        raise BundleError("\n".join([f"{directory}: cannot be published:", *result["failures"]]))
    return Trial(result["seconds"], declared_mb(result["memory_kb"]))


def declared_mb(memory_kb: int) -> int:
    """What is declared for a measured need."""
    steps = -(-memory_kb // (STEP_MB * 1024))
    return max(LEAST_MB, STEP_MB * steps)


def measure_in_child(directory: str) -> None:
    """In a child process: write what the self-test says, and by how much memory grew at most, as JSON."""
    with suppress(OSError):
        # proc(5): the peak begins anew here; else it is that of the imports, and the need may be told too high
        Path("/proc/self/clear_refs").write_text("5")
    before_kb = _status_kb("VmRSS")
    failures, seconds = tried(Path(directory))
    grown_kb = max(0, _status_kb("VmHWM") - before_kb)
    print(json.dumps({"failures": failures, "seconds": seconds, "memory_kb": grown_kb}))  # noqa: T201  (parent reads)


def _status_kb(name: str) -> int:
    """Of this program alone; what getrusage gives as its peak began with that of the process it was forked from."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101  (proc(5) promises it)
    return int(found[1])
