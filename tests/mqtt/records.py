"""Recognitions to test with, made as the head makes them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from daemon.core.records import MODALITIES, Embedding, Modality, Moment, Recognition
from daemon.mqtt.payloads import BundleView, EventPayload

LABELS = [*"0123456789", "none"]


def view(bundle_id: str, labels: Sequence[str] = LABELS, **changes: Any) -> BundleView:
    """What recognitions tell of a bundle of format 1, or of one with these `changes`."""
    encoders: dict[str, Modality] = {modality: modality for modality in MODALITIES}
    return replace(BundleView(bundle_id, labels, "exclusive", encoders, tells_encoders=False), **changes)


def recognition(
    present=("image", "audio"),
    *,
    time_ns: int = 10_000_000_000,
    ages_ns=(),
    labels: int = len(LABELS),
    seed: int = 0,
    late_ns: int = 0,
) -> Recognition:
    """A recognition of random logits at `time_ns`, with these modalities, each as old as `ages_ns` says (or 0).

    The first modality was fused at an age of `late_ns`.
    """
    random = np.random.default_rng(seed)
    ages = dict(zip(present, ages_ns, strict=False))
    embeddings = {
        m: Embedding(m, np.zeros(4, np.float32), time_ns - ages.get(m, 0) - 1000, time_ns - ages.get(m, 0))
        for m in present
    }
    if late_ns:
        embeddings[present[0]] = replace(embeddings[present[0]], late_ns=late_ns)
    known = [m for m in MODALITIES if m in present]
    bias = centred(random.normal(size=labels))
    ordered = [*known, *(name for name in present if name not in known)]
    shares = {name: centred(random.normal(scale=5, size=labels)) for name in ordered}
    logits = np.asarray(bias + sum(shares.values()), np.float64)
    scores = np.exp(logits - logits.max())
    return Recognition(Moment(time_ns, embeddings), (scores / scores.sum()).astype(np.float32), bias, shares)


def event(number: int, phase: str = "start", event_id: str | None = None) -> EventPayload:
    """One step of an event, labelled by its number; without `event_id`, of a new event."""
    time = "2026-01-31T12:00:04.300110Z"
    return EventPayload(
        id=event_id or f"{number:032x}",
        phase=phase,
        label=str(number),
        score=0.9,
        peak=0.9,
        time=time,
        started=time,
        duration_s=0,
        ended_by="absent" if phase == "end" else None,
        node="node",
        stream="front",
        bundle="digits@1.0.0",
    )


def centred(vector) -> np.ndarray:
    """As float32, with a mean of 0."""
    return (vector - np.mean(vector)).astype(np.float32)
