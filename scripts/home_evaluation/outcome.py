"""What a bundle makes of a scene: runs it through the daemon's streaming code, in two processes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from evaluation.progress import with_progress
from evaluation.stream_events import fused_of

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.errors import InputError
from daemon.core.records import Array64, Modality, Recognition
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.pipeline.recogniser import Recogniser, event_settings, load_recogniser
from home_evaluation.scenes import Scene
from home_evaluation.start_levels import Track, start_levels

PROCESSES = 2
# So few scenes are measured in this process: starting others takes longer.
FEW = 16


@dataclass(frozen=True, slots=True)
class Started:
    """An event that started at the thresholds of the bundle, and when its label appeared in the scene."""

    label: str
    started_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The start levels (L,) of a scene, and its events at the thresholds of the bundle.

    `exclusive`: the levels if the labels excluded each other (softmax over all labels of the same logits).
    `by_sense`: the levels if only the evidence of this sense counted.
    """

    levels: Array64
    exclusive: Array64
    by_sense: Mapping[Modality, Array64]
    events: Sequence[Started]

    @property
    def labels(self) -> set[str]:
        """The labels of the events."""
        return {event.label for event in self.events}


def outcomes(bundle: Path, scenes: Sequence[Scene], what: str) -> list[Outcome]:
    """The outcome of each scene. Equal scenes are measured once. Shows progress under the name `what`."""
    different = list(dict.fromkeys(scenes))
    measured = dict(zip(different, _measured(bundle, different, what), strict=True))
    return [measured[scene] for scene in scenes]


def outcome_of(bundle: Path, scene: Scene) -> Outcome:
    """The outcome of a scene, by the bundle in this directory and the default settings of fusion and events."""
    recogniser = loaded(bundle)
    manifest, config = recogniser.bundle.manifest, EventsConfig()
    settings = event_settings(manifest, config, "s")
    steps = fused_of(recogniser, scene.captured(manifest.sample_rate_hz), FusionConfig(), config)
    recognitions = [recognition for fused in steps for recognition in fused.recognitions]
    if not recognitions:
        raise InputError(f"{bundle}: nothing was recognised in a scene; is it shorter than a patch of sound?")
    senses: dict[Modality, list[str]] = {}
    for name, spec in manifest.encoder_specs.items():
        senses.setdefault(spec.modality, []).append(name)
    return Outcome(
        start_levels(track(recognitions, manifest, None), settings),
        start_levels(track(recognitions, manifest, None, exclusive=True), settings),
        {
            sense: start_levels(track(recognitions, manifest, names), settings)
            for sense, names in senses.items()
            if len(senses) > 1
        },
        [
            Started(event.label, event.started_ns / NS_PER_S)
            for fused in steps
            for event in fused.events
            if event.phase == "start"
        ],
    )


def _measured(bundle: Path, scenes: Sequence[Scene], what: str) -> list[Outcome]:
    if len(scenes) <= FEW:
        return [outcome_of(bundle, scene) for scene in scenes]
    with get_context("spawn").Pool(PROCESSES) as pool:
        measured: Iterable[Outcome] = pool.imap(partial(outcome_of, bundle), scenes)
        return list(with_progress(what, measured, len(scenes)))


@cache
def loaded(bundle: Path) -> Recogniser:
    """The recogniser of a bundle, loaded once in each process."""
    return load_recogniser(load_bundle(bundle))


def track(
    recognitions: Sequence[Recognition],
    manifest: Manifest,
    encoders: Sequence[str] | None,
    *,
    exclusive: bool = False,
) -> Track:
    """The scores over time by the evidence of these encoders; None: the scores as they are.

    `exclusive`: the scores if the labels excluded each other.
    """
    max_age_ns = {name: spec.max_age_ms * NS_PER_MS for name, spec in manifest.encoder_specs.items()}
    until_ns = [
        max(one.end_ns + max_age_ns[name] + 1 for name, one in recognition.moment.embeddings.items())
        for recognition in recognitions
    ]
    times_ns = [recognition.moment.time_ns for recognition in recognitions]
    is_exclusive = exclusive or manifest.scoring == "exclusive"
    if encoders is None and is_exclusive == (manifest.scoring == "exclusive"):
        scores = np.stack([recognition.scores for recognition in recognitions]).astype(np.float64)
    else:
        logits = np.stack([_logits(recognition, encoders) for recognition in recognitions])
        scores = _softmax(logits) if is_exclusive else 1 / (1 + np.exp(-logits))
    return Track(np.array(times_ns, np.int64), np.array(until_ns, np.int64), scores)


def _logits(recognition: Recognition, encoders: Sequence[str] | None) -> Array64:
    """The logits (L,) by the bias and the evidence of these encoders; None: of all.

    Under independent scoring the logits of bias and shares are those above the background label's.
    """
    shares = [share for name, share in recognition.shares.items() if encoders is None or name in encoders]
    total: Array64 = np.sum([recognition.bias, *shares], axis=0, dtype=np.float64)
    return total


def _softmax(logits: Array64) -> Array64:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: Array64 = exponents / exponents.sum(axis=1, keepdims=True)
    return scores
