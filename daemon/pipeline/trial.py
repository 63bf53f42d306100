"""Tries a downloaded bundle in a confined child process, before this node loads anything of it.

The bundle is signed, but its publisher may have been careless. The child therefore trusts nothing in the bundle, and
has no more memory and time than a good bundle needs.
"""

import json
import traceback
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

import numpy as np

from daemon.bundle.bundle import CASES_FILE, Bundle, Case, has_cases, load_bundle, load_cases
from daemon.bundle.files import named_files
from daemon.bundle.release import SELFTEST_PREFIX, BundleFiles
from daemon.config.node import Config, load_config
from daemon.core.document import Loaded
from daemon.core.errors import (
    BundleError,
    DocumentError,
    MismatchError,
    ModelError,
    Refused,
    UpdateError,
    UpdateFault,
)
from daemon.pipeline.recogniser import check_matches_config, load_recogniser
from daemon.pipeline.selftest import first_failures, run_selftest
from daemon.runtime.child import MAX_OUTPUT_BYTES, MAX_REASON_CHARS
from daemon.runtime.child_main import Failed, confine
from daemon.updates.messages import CHECK_S, SELFTEST_S, CheckRequest, SelftestRequest

# Memory beside the declared one, which is for the models. It serves to read the manifest, a picture (24 MB for one of
# 8 million pixels) and a sound (12 MB for a minute at 16 kHz: decoded, resampled, padded), and for the allocator.
ALLOWANCE_MB = 64

# A product of matrices with this side makes OpenBLAS allocate its buffer.
WARM_UP_SIDE = 256

RequestT = TypeVar("RequestT", bound=SelftestRequest)


def answer_check(request_json: str) -> None:
    """In a child process: check that manifest, files, tensors and config match each other.

    `request_json` is a CheckRequest. Prints the answer as JSON. Raises Failed after an unexpected error.
    """
    request = CheckRequest.model_validate_json(request_json)
    _confine(request, CHECK_S)
    _print_answer(request, _check)


def answer_selftest(request_json: str) -> None:
    """In a child process: run the bundle's self-test.

    `request_json` is a SelftestRequest. Prints the answer as JSON, with the seconds that the self-test took. Raises
    Failed after an unexpected error.
    """
    request = SelftestRequest.model_validate_json(request_json)
    _confine(request, SELFTEST_S)
    _print_answer(request, _selftest)


def check_matches_release(release: BundleFiles, bundle: Bundle) -> None:
    """Raises BundleError when the bundle is not the release, uses files that are not listed, or lacks a self-test."""
    for key in ("name", "version"):
        found, signed = getattr(bundle.manifest, key), getattr(release.signed, key)
        if found != signed:
            raise bundle.problem(f"is {found}, but was listed as {signed}", key)
    files = {entry.path for entry in release.files}
    if bundle.manifest.is_local:  # its base may be a bundle of this machine, with a self-test as small as it likes
        _check_signed(bundle, [case for case, _ in load_cases(bundle)] if has_cases(bundle) else [], files)
        return
    if SELFTEST_PREFIX + CASES_FILE not in files:
        raise bundle.problem(
            f"there is no {SELFTEST_PREFIX}{CASES_FILE}; a bundle without a self-test is refused", "selftest"
        )
    cases = [case for case, _ in load_cases(bundle)]
    _check_signed(bundle, cases, files)
    _check_cases_cover_modalities(bundle, cases)


def _check_signed(bundle: Bundle, cases: Sequence[Case], files: Set[str]) -> None:
    for name, key in (*named_files(bundle.manifest).items(), *_case_files(cases)):
        if name not in files:
            raise bundle.problem(f"{name} is not in its list of files", *key)


def _check_cases_cover_modalities(bundle: Bundle, cases: Sequence[Case]) -> None:
    for modality in bundle.manifest.senses:
        if all(getattr(case, modality) is None for case in cases):
            raise bundle.problem(f"no case has {modality}, so its model is not tested", "selftest")


def _case_files(cases: Sequence[Case]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for case in cases:
        for name in (case.image, case.audio):
            if name is not None:
                yield SELFTEST_PREFIX + name, ("selftest",)


def _confine(request: SelftestRequest, seconds: float) -> None:
    """Limit memory and time of this process."""
    # OpenBLAS allocates its buffer once, for any bundle. The buffer must not count as memory of this one.
    product = np.ones((WARM_UP_SIDE, WARM_UP_SIDE), np.float32)
    np.matmul(product, product)
    # the copy of a model in memory counts as a file that this process writes
    largest = max(entry.length for entry in request.release.files)
    confine(request.memory_mb + ALLOWANCE_MB, seconds, max(MAX_OUTPUT_BYTES, largest))


def _print_answer(request: RequestT, step: Callable[[RequestT], dict[str, float]]) -> None:
    answer = None
    # An answer needs memory. The memory of the step is free again when this block is left.
    with suppress(MemoryError):
        answer = _answer(request, step)
    if answer is None:
        answer = _failure("bundle", f"needs more than the {request.memory_mb} MB that its release declares")
    print(json.dumps(answer))  # noqa: T201  (the parent reads it)


def _answer(request: RequestT, step: Callable[[RequestT], dict[str, float]]) -> dict[str, object]:
    try:
        return {"ok": True, "result": step(request)}
    except MemoryError:
        raise
    except UpdateError as error:
        return _failure(error.kind, str(error))
    except Refused as error:
        return _failure("bundle", _reason(error, request))
    except Exception as error:  # any error here is caused by this bundle
        traceback.print_exc()
        raise Failed(f"cannot be tried: {type(error).__name__}: {error}") from error


def _failure(kind: UpdateFault, reason: str) -> dict[str, object]:
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return {"ok": False, "kind": kind, "reason": printable[:MAX_REASON_CHARS]}


def _check(request: CheckRequest) -> dict[str, float]:
    bundle = load_bundle(Path(request.directory))
    check_matches_release(request.release, bundle)
    if request.config is not None:
        check_matches_config(bundle.manifest, _config(request.config))
    load_recogniser(bundle)
    return {}


def _selftest(request: SelftestRequest) -> dict[str, float]:
    bundle = load_bundle(Path(request.directory))
    recogniser = load_recogniser(bundle)
    began_s = monotonic()
    failures = run_selftest(bundle, recogniser)
    if failures:
        raise BundleError(first_failures(failures))
    return {"seconds": monotonic() - began_s}


def _config(path: str) -> Loaded[Config]:
    """Return the node's config. A config that is being edited is no fault of the bundle: that raises UpdateError."""
    try:
        return load_config(Path(path))
    except DocumentError as error:
        raise UpdateError("disk", f"the node's config cannot be used: {first_failures(error.problems)}") from error


def _reason(error: Refused, request: SelftestRequest) -> str:
    """Return the reason on one line, with file names relative to the bundle."""
    reason = first_failures(str(error).splitlines()).replace(f"{request.directory}/", "")
    if any(isinstance(one, ModelError) and not isinstance(one, MismatchError) for one in (error, error.__cause__)):
        # The runtime seldom reports that it lacks memory.
        return f"{reason}; it had the {request.memory_mb} MB that its release declares"
    return reason
