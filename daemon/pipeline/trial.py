"""What a bundle from afar must pass in a child process before anything of it is loaded here.

It is signed, but its publisher may have been careless. So nothing it says is believed, and the child it is tried in has
no more memory and time than a good one needs.
"""

import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from daemon.bundles.fit import must_be
from daemon.bundles.load import load_bundle
from daemon.bundles.requests import CHECK_S, SELFTEST_S, CheckRequest, SelftestRequest
from daemon.config import Config, load_config
from daemon.documents import Loaded
from daemon.errors import (
    BundleError,
    DocumentError,
    MismatchError,
    ModelError,
    Refused,
    UpdateError,
    UpdateFault,
)
from daemon.recogniser import check_fit, load_recogniser
from daemon.runtime.child import REASON_CHARS, SAYS_BYTES
from daemon.runtime.confine import confine
from daemon.runtime.inside import Failed
from daemon.selftest import failures_in_short
from daemon.selftest import selftest as run_cases

ALLOWANCE_MB = 64
"""Beside what was declared for the models: for what reads a manifest, a picture (24 MB for one of 8 million pixels), a
sound (12 MB for a minute at 16 kHz: decoded, resampled, padded), and for the allocator's own share."""

WARM_SIDE = 256
"""Of a product large enough for OpenBLAS to take its buffer."""


def check(request: str) -> None:
    """In a child process: whether manifest, files, tensors and config fit together.

    `request` is a CheckRequest as JSON. Prints the answer as JSON. Raises Failed when the bundle does what nobody
    has foreseen.
    """
    order = CheckRequest.model_validate_json(request)
    _prepare(order, CHECK_S)
    _answer(order, lambda: _check(order))


def selftest(request: str) -> None:
    """In a child process: whether the stored cases come out as stored.

    `request` is a SelftestRequest as JSON. Prints the answer as JSON, with the seconds they took. Raises Failed when
    the bundle does what nobody has foreseen.
    """
    order = SelftestRequest.model_validate_json(request)
    _prepare(order, SELFTEST_S)
    _answer(order, lambda: _selftest(order))


def _prepare(order: SelftestRequest, seconds: float) -> None:
    """Take first what the libraries take once, whatever the bundle: it shall not count as the bundle's."""
    product = np.ones((WARM_SIDE, WARM_SIDE), np.float32)
    np.matmul(product, product)
    confine(order.memory_mb + ALLOWANCE_MB, seconds, SAYS_BYTES)


def _answer(order: SelftestRequest, work: Callable[[], dict[str, float]]) -> None:
    """Print what came of the work."""
    said = None
    with suppress(MemoryError):  # to say so takes memory: what the work holds is given back when this block is left
        said = _said_of(work, order)
    answer = said or _fault("bundle", f"needs more than the {order.memory_mb} MB that were declared")
    print(json.dumps(answer))  # noqa: T201  (the parent reads it)


def _said_of(work: Callable[[], dict[str, float]], order: SelftestRequest) -> dict[str, object]:
    try:
        return {"ok": True, "result": work()}
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
    return {"ok": False, "kind": kind, "reason": printable[:REASON_CHARS]}


def _check(order: CheckRequest) -> dict[str, float]:
    bundle = load_bundle(Path(order.directory))
    must_be(order.release, bundle)
    if order.config is not None:
        check_fit(bundle.manifest, _config(order.config))
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
