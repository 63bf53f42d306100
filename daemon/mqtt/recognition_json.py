"""Writes the JSON of recognitions, which are the most frequent messages."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from daemon.core.errors import InputError
from daemon.core.records import MODALITIES, Modality, Moment, Recognition, Scoring, Value
from daemon.core.timing import NS_PER_MS
from daemon.mqtt.payloads import SCHEMA, rounded, unit_score

_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class BundleView:
    """What recognitions tell of their bundle.

    `labels` names the L entries of scores, bias and shares. `encoders` has the modality of each encoder. With
    `tells_encoders` they are told one by one. Without it each is named after its modality.
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
        "modalities": encoders,
    }
    if bundle.tells_encoders:
        fields["modalities"] = _freshest(encoders, bundle)
        fields["encoders"] = {name: {"modality": bundle.encoders[name]} | part for name, part in encoders.items()}
    fields["labels"] = labels
    try:
        return _COMPACT.encode(fields).encode()
    except ValueError as error:
        raise InputError(f"stream {stream}: the head gave numbers that are not finite") from error


def _freshest(encoders: dict[str, dict[str, Any]], bundle: BundleView) -> dict[str, dict[str, Any]]:
    """Return the part of each modality: that of its freshest encoder."""
    return {modality: min(alike, key=itemgetter("age_ms")) for modality, alike in _by_modality(encoders, bundle)}


def _by_modality(encoders: Mapping[str, Value], bundle: BundleView) -> Iterator[tuple[Modality, list[Value]]]:
    """Yield each modality with the values of its encoders, if there are any."""
    for modality in MODALITIES:
        if alike := [value for name, value in encoders.items() if bundle.encoders[name] == modality]:
            yield modality, alike


def _encoder_part(moment: Moment, encoder: str) -> dict[str, Any]:
    embedding = moment.embeddings[encoder]
    age_ms = round(moment.age_ns(encoder) / NS_PER_MS, 1)
    part: dict[str, Any] = {"age_ms": age_ms, "device": embedding.device}
    return part if embedding.late_ns == 0 else part | {"late_ms": round(embedding.late_ns / NS_PER_MS, 1)}


def _label_part(recognition: Recognition, index: int, bundle: BundleView) -> dict[str, object]:
    bias = rounded(recognition.bias[index])
    encoders = {
        name: rounded(recognition.shares[name][index]) for name in bundle.encoders if name in recognition.shares
    }
    shares: Mapping[str, float] = encoders
    if bundle.tells_encoders:
        shares = {modality: rounded(sum(alike)) for modality, alike in _by_modality(encoders, bundle)}
    # the sum of the rounded parts, so that a reader who adds them up gets the logit
    logit = rounded(bias + sum(shares.values()))
    part: dict[str, object] = {
        "label": bundle.labels[index],
        "score": unit_score(recognition.scores[index]),
        "logit": logit,
        "bias": bias,
        "shares": shares,
    }
    if bundle.tells_encoders:
        part["encoders"] = encoders
    return part
