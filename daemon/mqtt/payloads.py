"""The payloads of recognitions, events and states, and the functions that build them from the daemon's records."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from daemon.core.errors import InputError
from daemon.core.records import CPU, MODALITIES, EndedBy, Event, EventPhase, Modality, Moment, Recognition, Scoring
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

    Of several encoders it is the freshest.
    `late_ms` is the time from the end of its input to the fusion, where that is above the bundle's `max_age_ms` because
    the encoder is slow.
    """

    age_ms: Number
    device: Name = CPU
    late_ms: Number | None = None


class EncoderPart(Part):
    """An encoder that took part, of a bundle of format 2; its fields are those of `ModalityPart`."""

    modality: Modality
    age_ms: Number
    device: Name = CPU
    late_ms: Number | None = None


class LabelPart(Part):
    """One label: its score in [0, 1], and its logit, which is bias plus all shares.

    Where labels exclude each other it is centred over all labels, else it is the difference to that of the background.
    `encoders` has the shares of single encoders, of a bundle of format 2.
    """

    label: Name
    score: Score
    logit: Number
    bias: Number
    shares: dict[Modality, Number]
    encoders: Annotated[dict[Name, Number], Field(max_length=16)] | None = None


class RecognitionPayload(Payload):
    """The result of one moment. `labels` are the best labels, best first; `label` is the first of them.

    `scoring` says whether the labels exclude each other. A bundle of format 2 has `encoders`.
    """

    id: Name
    time: Time
    node: Name
    stream: Name
    bundle: Name
    scoring: Scoring = "exclusive"
    label: Name
    score: Score
    modalities: dict[Modality, ModalityPart]
    encoders: Annotated[dict[Name, EncoderPart], Field(max_length=16)] | None = None
    labels: Annotated[list[LabelPart], Field(min_length=1, max_length=64)]

    def to_json(self) -> bytes:
        """Return UTF-8 JSON as `recognition_json` writes it: what is null is left out."""
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


@dataclass(frozen=True, slots=True)
class BundleView:
    """What recognitions tell of their bundle.

    `labels` names the L entries of scores, bias and shares. `encoders` has the modality of each encoder. With
    `tells_encoders` they are told one by one, else by modality alone.
    """

    id: str
    labels: Sequence[str]
    scoring: Scoring
    encoders: Mapping[str, Modality]
    tells_encoders: bool


def recognition_json(
    recognition: Recognition, *, bundle: BundleView, node: str, stream: str, top: int, time: str
) -> bytes:
    """Return the JSON of a `RecognitionPayload` with the `top` best labels; `time` is the wall time of its moment.

    Raises InputError when a number in the recognition is not finite.
    The model is not used: it takes twice as long, and there may be a recognition at every moment. A test compares.
    """
    best = (-recognition.scores).argsort(kind="stable")[:top].tolist()
    labels = [_label_part(recognition, index, bundle) for index in best]
    encoders = {name: _encoder_part(recognition.moment, name) for name in bundle.encoders if name in recognition.shares}
    fields = {
        "schema": SCHEMA,
        "id": os.urandom(16).hex(),
        "time": time,
        "node": node,
        "stream": stream,
        "bundle": bundle.id,
        "scoring": bundle.scoring,
        "label": labels[0]["label"],
        "score": labels[0]["score"],
        "modalities": _modality_parts(encoders, bundle),
    }
    if bundle.tells_encoders:
        fields["encoders"] = {name: {"modality": bundle.encoders[name]} | part for name, part in encoders.items()}
    try:
        return _COMPACT.encode(fields | {"labels": labels}).encode()
    except ValueError as error:
        raise InputError(f"stream {stream}: the head gave numbers that are not finite") from error


def _modality_parts(encoders: dict[str, dict[str, Any]], bundle: BundleView) -> dict[Modality, dict[str, Any]]:
    """Return the part of each modality: that of its freshest encoder."""
    parts: dict[Modality, dict[str, Any]] = {}
    for modality in MODALITIES:
        alike = [part for name, part in encoders.items() if bundle.encoders[name] == modality]
        if alike:
            parts[modality] = min(alike, key=itemgetter("age_ms"))
    return parts


def _encoder_part(moment: Moment, encoder: str) -> dict[str, Any]:
    embedding = moment.embeddings[encoder]
    age_ms = round(moment.age_ns(encoder) / NS_PER_MS, 1)
    part: dict[str, Any] = {"age_ms": age_ms, "device": embedding.device}
    return part if embedding.late_ns == 0 else part | {"late_ms": round(embedding.late_ns / NS_PER_MS, 1)}


def _label_part(recognition: Recognition, index: int, bundle: BundleView) -> dict[str, object]:
    bias = _rounded(recognition.bias[index])
    encoders = {
        name: _rounded(recognition.shares[name][index]) for name in bundle.encoders if name in recognition.shares
    }
    shares: dict[Modality, float] = {}
    for modality in MODALITIES:
        alike = [share for name, share in encoders.items() if bundle.encoders[name] == modality]
        if alike:
            shares[modality] = _rounded(sum(alike))
    # the sum of the rounded parts, so that a reader who adds them up gets the logit
    logit = _rounded(bias + sum(shares.values()))
    part: dict[str, object] = {"label": bundle.labels[index], "score": _score(recognition.scores[index])}
    part |= {"logit": logit, "bias": bias, "shares": shares}
    return part | {"encoders": encoders} if bundle.tells_encoders else part


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
    # in float32 the scores of softmax may sum to slightly more than 1
    return min(1.0, max(0.0, _rounded(score)))
