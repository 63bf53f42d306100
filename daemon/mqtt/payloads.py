"""The payloads of recognitions, events and states, and the functions that build them from the daemon's records."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from daemon.core.errors import InputError
from daemon.core.records import CPU, MODALITIES, EndedBy, Event, EventPhase, Modality, Moment, Recognition
from daemon.core.timing import NS_PER_MS, NS_PER_S

# The number goes up when a field changes its meaning or disappears. A new field does not change it.
SCHEMA: Literal[1] = 1

DECIMALS = 4

# Outside of these years, arithmetic on a time may overflow.
YEARS = range(1970, 2200)

_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse_time(text: str) -> datetime:
    """Return the instant, in UTC, that `daemon.core.timing.wall_time` has written as text. Raises ValueError."""
    if not text.endswith("Z") or (instant := datetime.fromisoformat(text[:-1] + "+00:00")).year not in YEARS:
        raise ValueError("expected a time like 2026-01-31T12:00:00.000000Z")
    return instant


def _is_time(text: str) -> str:
    parse_time(text)
    return text


Name = Annotated[str, Field(max_length=256)]
Time = Annotated[str, Field(max_length=32), AfterValidator(_is_time)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Score = Annotated[Number, Field(ge=0, le=1)]


class Part(BaseModel):
    """The base of payloads and their parts. Readers ignore unknown fields, because a newer daemon may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)


class Payload(Part):
    """The base of complete payloads."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")

    def to_json(self) -> bytes:
        """Return UTF-8 JSON on one line, with the keys in the order of the model's fields."""
        return self.model_dump_json(by_alias=True).encode()


class ModalityPart(Part):
    """A modality that took part: the age of its embedding in milliseconds, and the device that ran its encoder.

    `late_ms` is the time from the end of its input to the fusion, where that is above the bundle's `max_age_ms` because
    the encoder is slow.
    """

    age_ms: Number
    device: Name = CPU
    late_ms: Number | None = None


class LabelPart(Part):
    """One label: its score in [0, 1], and its logit, centred over all labels. The logit is bias plus all shares."""

    label: Name
    score: Score
    logit: Number
    bias: Number
    shares: dict[Modality, Number]


class RecognitionPayload(Payload):
    """The result of one moment. `labels` are the best labels, best first; `label` is the first of them."""

    id: Name
    time: Time
    node: Name
    stream: Name
    bundle: Name
    label: Name
    score: Score
    modalities: dict[Modality, ModalityPart]
    labels: Annotated[list[LabelPart], Field(min_length=1, max_length=64)]

    def to_json(self) -> bytes:
        """Return UTF-8 JSON as `recognition_json` writes it: a modality that is in time has no `late_ms`."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class EventPayload(Payload):
    """One step of an event, which is one continuous presence of a label. All steps of one event have its id.

    `sequence` counts the steps of all events of a node. A step that is delivered twice has the same number.
    `shares` has the part of each modality in what spoke for the label; they add up to 1, or all are 0.
    """

    sequence: Annotated[int, Field(ge=0)] = 0
    id: Name
    phase: EventPhase
    label: Name
    score: Score
    peak: Score
    shares: dict[Modality, Score] = {}
    time: Time
    started: Time
    duration_s: Annotated[Number, Field(ge=0)]
    ended_by: EndedBy | None
    node: Name
    stream: Name
    bundle: Name


class StatePayload(Payload):
    """The present state of a stream: the label of the strongest open event, or null, and since when.

    `open` has the labels of all open events.
    """

    label: Name | None
    score: Score | None
    since: Time
    open: Annotated[list[Name], Field(max_length=1024)] = []


def recognition_json(
    recognition: Recognition, *, labels: Sequence[str], node: str, stream: str, bundle_id: str, top: int, time: str
) -> bytes:
    """Return the JSON of a `RecognitionPayload` with the `top` best labels; `time` is the wall time of its moment.

    `labels` names the L entries of scores, bias and shares. Raises InputError when a number in them is not finite.
    The model is not used: it takes twice as long, and there may be a recognition at every moment. A test compares.
    """
    moment = recognition.moment
    best = (-recognition.scores).argsort(kind="stable")[:top].tolist()
    parts = [_label_part(recognition, index, labels[index]) for index in best]
    fields = {
        "schema": SCHEMA,
        "id": os.urandom(16).hex(),
        "time": time,
        "node": node,
        "stream": stream,
        "bundle": bundle_id,
        "label": parts[0]["label"],
        "score": parts[0]["score"],
        "modalities": {m: _modality_part(moment, m) for m in MODALITIES if m in moment.embeddings},
        "labels": parts,
    }
    try:
        return _COMPACT.encode(fields).encode()
    except ValueError as error:
        raise InputError(f"stream {stream}: the head gave numbers that are not finite") from error


def _modality_part(moment: Moment, modality: Modality) -> dict[str, object]:
    embedding = moment.embeddings[modality]
    age_ms = round(moment.age_ns(modality) / NS_PER_MS, 1)
    part: dict[str, object] = {"age_ms": age_ms, "device": embedding.device}
    return part if embedding.late_ns == 0 else part | {"late_ms": round(embedding.late_ns / NS_PER_MS, 1)}


def _label_part(recognition: Recognition, index: int, label: str) -> dict[str, object]:
    bias = _rounded(recognition.bias[index])
    shares = {m: _rounded(recognition.shares[m][index]) for m in MODALITIES if m in recognition.shares}
    # the sum of the rounded parts, so that a reader who adds them up gets the logit
    logit = _rounded(bias + sum(shares.values()))
    return {"label": label, "score": _score(recognition.scores[index]), "logit": logit, "bias": bias, "shares": shares}


def event_payload(event: Event, *, node: str, stream: str, bundle_id: str, time: str, started: str) -> EventPayload:
    """Return the payload of an event; `time` and `started` are the wall times of its two instants."""
    return EventPayload(
        id=event.id,
        phase=event.phase,
        label=event.label,
        score=_score(event.score),
        peak=_score(event.peak),
        shares=_fractions(event.shares),
        time=time,
        started=started,
        duration_s=round((event.time_ns - event.started_ns) / NS_PER_S, DECIMALS),
        ended_by=event.ended_by,
        node=node,
        stream=stream,
        bundle=bundle_id,
    )


def ended_by_restart(latest: EventPayload) -> EventPayload:
    """Return the end of an event that was open when the daemon ended; all else is as in its latest step."""
    return latest.model_copy(update={"phase": "end", "ended_by": "restart"})


def state_payload(
    *, label: str | None, score: float | None, since: str, open_labels: Sequence[str] = ()
) -> StatePayload:
    """Return the state of a stream; without an open event both label and score are None."""
    return StatePayload(
        label=label, score=None if score is None else _score(score), since=since, open=sorted(open_labels)
    )


def _rounded(number: float) -> float:
    return round(float(number), DECIMALS) + 0.0  # turns -0.0 into 0.0


def _fractions(shares: Mapping[Modality, float]) -> dict[Modality, float]:
    """Return the shares rounded; the largest takes what is left, so that a reader who adds them up gets 1."""
    rounded = {modality: _rounded(share) for modality, share in shares.items()}
    if any(rounded.values()):
        largest = max(rounded, key=rounded.__getitem__)
        rounded[largest] = _rounded(1 - sum(share for modality, share in rounded.items() if modality != largest))
    return rounded


def _score(score: float) -> float:
    # softmax in float32 may sum to slightly more than 1
    return min(1.0, max(0.0, _rounded(score)))
