"""Makes the training set of a fit: what was taught, for the encoders of a bundle, and what the bundle itself gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from daemon.bundle.bundle import has_cases, load_cases
from daemon.bundle.encoder_specs import EncoderSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import MAX_TAUGHT, group_of
from daemon.core.records import Array, Embedding, Frame, Moment, Plane
from daemon.fusion.fuse import FusionHead
from daemon.fusion.pool import Pool
from daemon.fusion.taught import NO_TAUGHT, Scope
from daemon.pipeline.offline import OfflineRecogniser, item_of
from daemon.pipeline.recogniser import Recogniser, pool_settings
from daemon.teaching.records import TrainingData
from daemon.teaching.rows import EventTimes, LabelToFit, TrainingSet

# of the self-test of taught labels: moments of presses, and of background
MAX_PRESS_CASES = 40
MAX_BACKGROUND_CASES = 20

# of a picture of a covered camera; the encoders resize it
COVERED_SIDE = 64
NOISE_SEED = 1

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class LabelsOfBundle:
    """The labels that are to be fitted onto a bundle. `notes` says why others are not, in words."""

    labels: Sequence[LabelToFit]
    notes: Sequence[str]


def labels_to_fit(manifest: Manifest, data: TrainingData, everywhere: frozenset[str]) -> LabelsOfBundle:
    """Return the labels of the examples, in the order in which they were first shown."""
    streams: dict[str, set[str]] = {}
    for example in data.examples:
        streams.setdefault(example.label, set()).add(example.stream)
    fixed = {name: reason for name in streams if (reason := manifest.why_fixed(name)) is not None}
    notes = [f"{name} is not fitted: {reason}" for name, reason in fixed.items()]
    names = [name for name in streams if name not in fixed]
    most = MAX_TAUGHT - len(manifest.inherited)
    notes += [f"{name} is left out: {MAX_TAUGHT} labels are the most" for name in names[most:]]
    if data.others:
        count = "1 example was" if len(data.others) == 1 else f"{len(data.others)} examples were"
        notes.append(f"{count} made by other encoders than those of {manifest.name} {manifest.base_version}")
    notes += data.damaged
    labels = [LabelToFit(name, frozenset(streams[name]), name in everywhere, group_of(name)) for name in names]
    return LabelsOfBundle(labels[:most], notes)


def training_set(
    manifest: Manifest,
    data: TrainingData,
    labels: Sequence[LabelToFit],
    *,
    false_alarms_a_day: float = 1.0,
    covered: Sequence[Mapping[str, Array]] = (),
    known: Sequence[Mapping[str, Array]] = (),
    events: Mapping[str, EventTimes] | None = None,
) -> TrainingSet:
    """Return the training set of these labels."""
    return TrainingSet(
        sizes=sizes_of(manifest),
        modalities=manifest.encoder_modalities,
        scoring=manifest.scoring,
        labels=labels,
        examples=data.examples,
        background=data.background,
        wrong=data.wrong,
        covered=covered,
        false_alarms_a_day=false_alarms_a_day,
        known=known,
        scores_only=scores_only(manifest),
        events=events or {},
        base_labels=_names_of_logits(manifest),
    )


def _names_of_logits(manifest: Manifest) -> list[str | None]:
    """Return the names of the logits of HeadLogits without a stream; None for background."""
    own = [None if name in manifest.background else name for name in manifest.base_labels]
    inherited = {} if manifest.taught is None else manifest.taught.labels
    return [*own, *(name for name in manifest.inherited if inherited[name].state_of is None)]


def sizes_of(manifest: Manifest) -> dict[str, int]:
    """Return the length in F of each encoder, in the order of F."""
    return {name: spec.size for name, spec in manifest.encoder_specs.items()}


def scores_only(manifest: Manifest) -> frozenset[str]:
    """Return the encoders of the senses of which no encoder gives an embedding."""
    specs, scoring = manifest.encoder_specs, score_encoders(manifest)
    embedded = {spec.modality for name, spec in specs.items() if name not in scoring}
    return frozenset(name for name, spec in specs.items() if spec.modality not in embedded)


def score_encoders(manifest: Manifest) -> frozenset[str]:
    """Return the encoders that give scores and no embedding."""
    labels = len(manifest.base_labels)
    return frozenset(name for name, spec in manifest.encoder_specs.items() if _gives_scores(spec, labels))


def cases_of(manifest: Manifest, data: TrainingData, labels: Sequence[str]) -> Array:
    """Return the features (n, D + M) for the self-test of these labels: moments of presses, and of background."""
    presses = [example for example in data.examples if example.label in labels and example.moments]
    shown = [example.moments[len(example.moments) // 2].vectors for example in _spread(presses, MAX_PRESS_CASES)]
    background = [moment.vectors for moment in _spread(data.background, MAX_BACKGROUND_CASES)]
    return np.stack([features_of(vectors, sizes_of(manifest)) for vectors in (*shown, *background)])


def features_of(vectors: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """Return F (D + M,). A vector of another length, or with numbers that are not finite, counts as absent."""
    parts, present = [], []
    for name, size in sizes.items():
        vector = vectors.get(name)
        is_there = vector is not None and vector.shape == (size,) and bool(np.isfinite(vector).all())
        parts.append(vector if vector is not None and is_there else np.zeros(size, np.float32))
        present.append(float(is_there))
    return np.concatenate([*parts, present]).astype(np.float32)


class HeadLogits:
    """Gives the logits of the labels of a bundle that stay when others are taught. Implements BaseLogits."""

    def __init__(self, head: FusionHead, manifest: Manifest) -> None:
        self._head, self._manifest = head, manifest
        self._scopes: dict[str | None, Scope] = {}

    def __call__(self, vectors: Mapping[str, Array], stream: str | None = None) -> Array:
        """Return the logits (L,) for the vectors of one moment."""
        if stream not in self._scopes:
            self._scopes[stream] = self._scope(stream)
        moment = Moment(0, {name: Embedding(name, vector, 0, 0) for name, vector in vectors.items()})
        recognition = self._head.recognise(moment, self._scopes[stream])
        logits: Array = recognition.bias + np.sum(list(recognition.shares.values()), axis=0, dtype=np.float32)
        return logits

    def _scope(self, stream: str | None) -> Scope:
        """Return the inherited labels that share a probability with those of the base: states do not."""
        if self._manifest.taught is None:
            return NO_TAUGHT
        labels = [self._manifest.taught.labels[name] for name in self._manifest.inherited]
        applying = [
            index
            for index, label in enumerate(labels)
            if label.state_of is None and (stream is None or label.threshold(stream) is not None)
        ]
        return np.array(applying, np.intp)


def covered_vectors(recogniser: Recogniser) -> list[dict[str, Array]]:
    """Return what the encoders of pictures give for a covered camera: black, grey and white, even and with noise."""
    manifest = recogniser.bundle.manifest
    names = [name for name in manifest.of_modality(ImageSpec) if name in recogniser.encoders]
    found = []
    for picture in _covered_pictures() if names else ():
        pool, frame = Pool(pool_settings(manifest)), Frame((picture,), 0)
        found.append({name: pool.add(recogniser.encoders[name].encode(frame)).vector for name in names})
    return found


def known_vectors(recogniser: Recogniser) -> list[dict[str, Array]]:
    """Return the moments of the bundle's self-test, which its own labels recognise. Raises Refused and InputError."""
    if not has_cases(recogniser.bundle):
        return []
    offline = OfflineRecogniser(recogniser, is_taught=False)
    items = [item_of(recogniser.bundle, case) for case, _ in load_cases(recogniser.bundle)]
    moments = [offline.recognise(item).moment for item in items]
    return [{name: embedding.vector for name, embedding in moment.embeddings.items()} for moment in moments]


def _gives_scores(spec: EncoderSpec, labels: int) -> bool:
    return all(output.transform == "log" or output.size <= labels for output in spec.outputs.values())


def _covered_pictures() -> list[Plane]:
    generator = np.random.default_rng(NOISE_SEED)
    shape = (COVERED_SIDE, COVERED_SIDE, 3)
    pictures = []
    for level in (0, 12, 128, 255):
        for deviation in (0, 8):
            noisy = generator.normal(level, deviation, shape) if deviation else np.full(shape, level)
            pictures.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return pictures


def _spread(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """Return at most so many items, evenly spread."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]
