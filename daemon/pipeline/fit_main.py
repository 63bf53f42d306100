"""Fits what was taught onto a bundle, in a confined child process, and writes the bundle with the taught labels."""

import base64
import time
import traceback
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.bundle.manifest import LocalVersion
from daemon.core.document import StrictModel
from daemon.core.errors import InputError, Refused, TeachingError
from daemon.core.records import Array
from daemon.core.sealed import MAX_BYTES
from daemon.pipeline.heads import load_head
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.training_set import (
    HeadLogits,
    LabelsOfBundle,
    cases_of,
    covered_vectors,
    known_vectors,
    labels_to_fit,
    training_set,
)
from daemon.runtime.child import MAX_REASON_CHARS
from daemon.runtime.child_main import Failed, confine
from daemon.teaching.records import TrainingData
from daemon.teaching.report import Report
from daemon.teaching.rows import EventTimes, TrainingSet
from daemon.teaching.store import TeachingStore

# `teaching.fit` imports SciPy, and `taught_bundle` the schema of TFLite. The daemon imports this module to pass its
# function to child processes, and needs neither: so they are imported where a child process needs them.

# Beyond what the libraries take: the encoders of a bundle, the embeddings of all examples and background, and copies.
MEMORY_MB = 512

# on the slowest boards; the bench machine needs a tenth of it
PROCESSOR_S = 300.0

# of a report, unpacked
MAX_REPORT_BYTES = 4 * 1024 * 1024


class FitRequest(StrictModel):
    """What to fit: the store in the file `database`, onto the bundle in the directory `base`.

    The result is a bundle of this version in the new directory `target`. `content` is the hash of the file list of an
    installed base: its files are then compared with it. With `is_final` later fits do not replace these labels.
    `events` has the times of the events of each stream.
    """

    database: str
    base: str
    target: str
    version: LocalVersion
    content: str | None = None
    false_alarms_a_day: Annotated[float, Field(gt=0)] = 1.0
    is_final: bool = False
    events: dict[str, EventTimes] = {}


def _packed(report: Report | None) -> str | None:
    """Return a report as text that is short enough for the output of a child process."""
    return None if report is None else base64.b64encode(zlib.compress(report.model_dump_json().encode())).decode()


def _unpacked(value: Any) -> Any:
    """Return the report of a text. Raises ValueError."""
    if not isinstance(value, str):
        return value
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(base64.b64decode(value, validate=True), MAX_REPORT_BYTES)
    except zlib.error as error:
        raise ValueError("expected a packed report") from error
    return Report.model_validate_json(content)


class FitAnswer(StrictModel):
    """What the child prints. Without `ok` there is no bundle, and `reason` says why, in words for the person.

    `may_pass`: the disk was the reason, so the same request may succeed later.
    """

    ok: bool
    may_pass: bool = False
    reason: str | None = None
    report: Annotated[Report | None, BeforeValidator(_unpacked), PlainSerializer(_packed)] = None
    seconds: float = 0.0


def answer_fit(request_json: str) -> None:
    """In a child process: do what a FitRequest asks, and print a FitAnswer. Raises Failed after an unexpected error."""
    request = FitRequest.model_validate_json(request_json)
    _import_libraries()  # their memory is that of any fit
    confine(MEMORY_MB, PROCESSOR_S, MAX_BYTES)
    answer = None
    # An answer needs memory. The memory of the fit is free again when this block is left.
    with suppress(MemoryError):
        answer = fit_bundle(request)
    if answer is None:
        answer = FitAnswer(ok=False, reason=f"there is more than fits into {MEMORY_MB} MB; remove some examples")
    print(answer.model_dump_json())  # noqa: T201  (the parent reads it)


def fit_bundle(request: FitRequest) -> FitAnswer:
    """Fit what was taught, and write the bundle. Raises MemoryError, and Failed after an unexpected error."""
    began_s = time.monotonic()
    try:
        report = _fit(request)
    except (Refused, TeachingError, InputError) as error:
        is_disk = isinstance(error, TeachingError) and error.kind == "disk"
        return FitAnswer(ok=False, may_pass=is_disk, reason=_shortened(str(error)))
    except OSError as error:
        reason = f"{error.filename or request.target}: {error.strerror or error}"
        return FitAnswer(ok=False, may_pass=True, reason=_shortened(reason))
    except MemoryError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise Failed(f"cannot be fitted: {type(error).__name__}: {error}") from error
    return FitAnswer(ok=True, report=report, seconds=time.monotonic() - began_s)


def _fit(request: FitRequest) -> Report:
    from daemon.pipeline.taught_bundle import write_taught_bundle
    from daemon.teaching.fit import fit

    bundle = load_bundle(Path(request.base), request.content)
    data, labels = _taught(request, bundle)
    if not labels.labels:
        raise Refused("; ".join(labels.notes) or "nothing was taught")
    head = HeadLogits(load_head(bundle), bundle.manifest)
    fitted = fit(_training_set(request, bundle, data, labels), head)
    cases: Array = cases_of(bundle.manifest, data, list(fitted.labels))
    write_taught_bundle(
        bundle.directory,
        Path(request.target),
        request.version,
        fitted,
        cases,
        request.content,
        is_final=request.is_final,
    )
    return fitted.report.model_copy(update={"notes": [*fitted.report.notes, *labels.notes]})


def _taught(request: FitRequest, bundle: Bundle) -> tuple[TrainingData, LabelsOfBundle]:
    store = TeachingStore(Path(request.database), read_only=True)
    try:
        data = store.training_data(encoder_fingerprints(bundle))
        return data, labels_to_fit(bundle.manifest, data, store.everywhere())
    finally:
        store.close()


def _training_set(request: FitRequest, bundle: Bundle, data: TrainingData, labels: LabelsOfBundle) -> TrainingSet:
    """Return the training set. The encoders are loaded only where a fit needs pictures or sound of their own."""
    manifest = bundle.manifest
    has_states = any(label.state_of is not None for label in labels.labels)
    is_exclusive = manifest.scoring == "exclusive"
    covered, known = [], []
    if has_states or is_exclusive:
        recogniser = load_recogniser(bundle, manifest.senses if is_exclusive else ("image",))
        covered = covered_vectors(recogniser) if has_states else []
        known = known_vectors(recogniser) if is_exclusive else []
    return training_set(
        manifest,
        data,
        labels.labels,
        false_alarms_a_day=request.false_alarms_a_day,
        covered=covered,
        known=known,
        events=request.events,
    )


def _import_libraries() -> None:
    import daemon.pipeline.taught_bundle
    import daemon.teaching.fit  # noqa: F401


def _shortened(reason: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return printable[:MAX_REASON_CHARS]
