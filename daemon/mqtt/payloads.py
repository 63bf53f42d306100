"""The payloads of recognitions, events and states, and the functions that build the latter two from records."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from daemon.core.records import (
    CPU,
    EndedBy,
    Event,
    EventPhase,
    Modality,
    Scoring,
)
from daemon.core.timing import NS_PER_S

# The number goes up when a field changes its meaning or disappears. A new field does not change it.
SCHEMA: Literal[1] = 1

DECIMALS = 4

# Outside of these years, arithmetic on a time may overflow.
YEARS = range(1970, 2200)


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


def event_payload(event: Event, *, node: str, stream: str, bundle_id: str, time: str, started: str) -> EventPayload:
    """Return the payload of an event; `time` and `started` are the wall times of its two instants."""
    return EventPayload(
        id=event.id,
        phase=event.phase,
        label=event.label,
        score=unit_score(event.score),
        peak=unit_score(event.peak),
        shares=fractions(event.shares),
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
        label=label, score=None if score is None else unit_score(score), since=since, open=sorted(open_labels)
    )


def rounded(number: float) -> float:
    """Return the number as payloads have it, with four decimals."""
    return round(float(number), DECIMALS) + 0.0  # turns -0.0 into 0.0


def fractions(shares: Mapping[Modality, float]) -> dict[Modality, float]:
    """Return the shares rounded; the largest takes what is left, so that a reader who adds them up gets 1."""
    fractions = {modality: rounded(share) for modality, share in shares.items()}
    if any(fractions.values()):
        largest = max(fractions, key=fractions.__getitem__)
        fractions[largest] = rounded(1 - sum(share for modality, share in fractions.items() if modality != largest))
    return fractions


def unit_score(score: float) -> float:
    """Return the score as payloads have it, in [0, 1]."""
    # in float32 the scores of softmax may sum to slightly more than 1
    return min(1.0, max(0.0, rounded(score)))
