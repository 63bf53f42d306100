"""Loads a bundle's encoders and head, and checks every tensor against the manifest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle
from daemon.bundle.encoder_specs import AudioSpec, EncoderSpec, ImageSpec, encoders_of
from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import state_name
from daemon.bundle.thresholds import Threshold
from daemon.config.node import Config
from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.document import Loaded
from daemon.core.errors import DocumentError, MismatchError, ModelError
from daemon.core.ports import Encoder, Model
from daemon.core.records import MODALITIES, Array, Modality
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.encoders.audio import AudioEncoder
from daemon.encoders.image import ImageEncoder
from daemon.encoders.text import TextEncoder
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import FusionHead, StreamFusion
from daemon.fusion.pool import Pool, PoolSettings
from daemon.fusion.states import StateGroup
from daemon.fusion.taught import Scope
from daemon.inference.accelerator import Accelerator
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import Placement
from daemon.pipeline.heads import load_head
from daemon.pipeline.keep_alive import keep_alive_problems
from daemon.pipeline.taught_before import was_taught


@dataclass(frozen=True)
class Recogniser:
    """The loaded encoders of a bundle. Makes heads and fusions on request.

    `models` are the models of these encoders on the CPU. `accelerators` run those that `placements` put on another
    device. `extra_encoders` let several threads encode at the same time; each has a model of its own.
    """

    bundle: Bundle
    models: Mapping[str, TfliteModel]
    encoders: Mapping[str, Encoder[Any]]
    placements: Mapping[str, Placement] = field(default_factory=dict)
    accelerators: Sequence[Accelerator] = ()
    extra_encoders: Mapping[str, Sequence[Encoder[Any]]] = field(default_factory=dict)

    @property
    def parallel_encoders(self) -> dict[str, Sequence[Encoder[Any]]]:
        """The encoders that can work at the same time, by their name."""
        return {name: (encoder, *self.extra_encoders.get(name, ())) for name, encoder in self.encoders.items()}

    @property
    def cpu_remarks(self) -> list[str]:
        """A message for each encoder that the CPU runs although another device is requested or might be expected."""
        return [f"{name} runs on the CPU: {place.reason}" for name, place in self.placements.items() if place.reason]

    def new_head(self) -> FusionHead:
        """Load a fusion head for one more thread."""
        return load_head(self.bundle)

    def new_fusion(self, head: FusionHead, stream: str, fusion: FusionConfig, events: EventsConfig) -> StreamFusion:
        """Return the fusion of one stream, by its name, with the stream's own settings."""
        manifest = self.bundle.manifest
        pool, alignment = Pool(pool_settings(manifest)), alignment_settings(manifest, fusion)
        settings, groups = event_settings(manifest, events, stream), state_groups(manifest, stream)
        return StreamFusion(head, pool, alignment, settings, scope_of(manifest, stream), groups)


def load_recogniser(bundle: Bundle, senses: Collection[Modality] = MODALITIES) -> Recogniser:
    """Load the head, and the models of the encoders of these modalities, on the CPU.

    Raises BundleError, with the line of the manifest that does not match a model.
    """
    specs = encoders_of(bundle.manifest.encoder_specs, *senses)
    models = {name: _load_model(bundle, name, spec) for name, spec in specs.items()}
    encoders = {name: new_encoder(name, spec, models[name]) for name, spec in specs.items()}
    recogniser = Recogniser(bundle, models, encoders)
    recogniser.new_head()  # raises when the head does not match the manifest
    return recogniser


def load_extra_encoders(bundle: Bundle, modality: str, count: int) -> list[Encoder[Any]]:
    """Load `count` more encoders of a modality, on the CPU. Raises BundleError as `load_recogniser` does."""
    spec = bundle.manifest.encoder_specs[modality]
    return [new_encoder(modality, spec, _load_model(bundle, modality, spec)) for _ in range(count)]


def alignment_settings(manifest: Manifest, config: FusionConfig) -> AlignmentSettings:
    """Return the maximum age of each encoder, and the minimum interval of moments."""
    return AlignmentSettings(max_ages_ns(manifest), round(NS_PER_S / config.max_rate_hz))


def max_ages_ns(manifest: Manifest) -> dict[str, int]:
    """Return the maximum age of each encoder's embedding."""
    return {name: spec.max_age_ms * NS_PER_MS for name, spec in manifest.encoder_specs.items()}


def pool_settings(manifest: Manifest) -> dict[str, PoolSettings]:
    """Return the statistics of each encoder that is pooled."""
    specs = manifest.encoder_specs.items()
    return {name: PoolSettings(round(spec.pool.seconds * NS_PER_S), spec.pool.of) for name, spec in specs if spec.pool}


def scope_of(manifest: Manifest, stream: str) -> Scope:
    """Return which of the taught labels apply in a stream."""
    return np.array([] if manifest.taught is None else manifest.taught.in_scope(stream), np.intp)


def event_settings(manifest: Manifest, config: EventsConfig, stream: str) -> EventSettings:
    """Return the labels of a stream, the thresholds and the time constants of its events.

    The config's thresholds replace the bundle's.
    """
    labels, makes_events = manifest.labels_in(stream), event_labels(manifest)
    thresholds = [config.thresholds.get(label) or _threshold_of(manifest, label, stream) for label in labels]
    return EventSettings(
        encoders={sense: [*encoders_of(manifest.encoder_specs, sense)] for sense in manifest.senses},
        labels=labels,
        makes_events=[label in makes_events for label in labels],
        start=_column(thresholds, "start"),
        end=_column(thresholds, "end"),
        smoothing_ns=round(config.smoothing_s * NS_PER_S),
        min_duration_ns=round(config.min_duration_s * NS_PER_S),
        max_duration_ns=round(config.max_duration_s * NS_PER_S),
        update_every_ns=round(config.update_every_s * NS_PER_S),
        scoring=manifest.scoring,
    )


def state_groups(manifest: Manifest, stream: str) -> list[StateGroup]:
    """Return the groups of states that are recognised in a stream."""
    if manifest.taught is None:
        return []
    found, of_stream = [], manifest.labels_in(stream)
    for group, labels in manifest.taught.groups(stream).items():
        thresholds = [each for name in labels if (each := manifest.taught.labels[name].threshold(stream)) is not None]
        found.append(
            StateGroup(
                group,
                states=[state_name(name) for name in labels],
                labels=[of_stream.index(name) for name in labels],
                start=[threshold.start for threshold in thresholds],
                end=[threshold.end for threshold in thresholds],
            )
        )
    return found


def event_labels(manifest: Manifest) -> list[str]:
    """Return the labels that make events: neither background nor states."""
    taught = {} if manifest.taught is None else manifest.taught.labels
    states = {label for label, about in taught.items() if about.state_of is not None}
    return [label for label in manifest.labels if label not in manifest.background and label not in states]


def _threshold_of(manifest: Manifest, label: str, stream: str) -> Threshold:
    taught = None if manifest.taught is None else manifest.taught.labels.get(label)
    return (None if taught is None else taught.threshold(stream)) or manifest.thresholds.of(label)


def check_matches_config(manifest: Manifest, config: Loaded[Config]) -> None:
    """Raises DocumentError when the config's events or gates cannot be used with the bundle.

    Where the node was taught anything, a threshold of an unknown label is no mistake: another version of the bundle has
    that label.
    """
    problems = [] if was_taught(config) else unknown_thresholds(manifest, config)
    problems += [*_idle_thresholds(manifest, config), *_gate_problems(manifest, config)]
    if problems:
        raise DocumentError(problems)


def unknown_thresholds(manifest: Manifest, config: Loaded[Config]) -> list[str]:
    """Return a message for each threshold of a label that the bundle does not have in that stream."""
    return [
        _threshold_problem(manifest, config, stream, label)
        for stream, label in _named_thresholds(config)
        if label not in manifest.labels_in(stream)
    ]


def _idle_thresholds(manifest: Manifest, config: Loaded[Config]) -> list[str]:
    """Return a message for each threshold of a label that is background or a state."""
    makes_events = event_labels(manifest)
    return [
        _threshold_problem(manifest, config, stream, label)
        for stream, label in _named_thresholds(config)
        if label in manifest.labels_in(stream) and label not in makes_events
    ]


def _named_thresholds(config: Loaded[Config]) -> list[tuple[str, str]]:
    streams = config.document.streams.items()
    return [(name, label) for name, stream in streams for label in stream.events.thresholds]


def _threshold_problem(manifest: Manifest, config: Loaded[Config], stream: str, label: str) -> str:
    makes_events = event_labels(manifest)
    expected = ", ".join(each for each in manifest.labels_in(stream) if each in makes_events)
    where = config.where("streams", stream, "events", "thresholds", label)
    return f"{where}: {manifest.id} makes no event of it; expected one of {expected}"


def _gate_problems(manifest: Manifest, config: Loaded[Config]) -> list[str]:
    """Return a message for each gate that lets an embedding expire before it is repeated."""
    return [
        f"{config.where('streams', name, 'gates', *key)} = {value:g}: {manifest.id} {expected}"
        for name, stream in config.document.streams.items()
        for key, value, expected in keep_alive_problems(manifest, stream.gates)
    ]


def _column(thresholds: Sequence[Threshold], name: str) -> Array:
    return np.array([getattr(threshold, name) for threshold in thresholds], np.float32)


def new_encoder(name: str, spec: EncoderSpec, model: Model) -> Encoder[Any]:
    """Return an encoder with this model."""
    if isinstance(spec, ImageSpec):
        return ImageEncoder(name, spec, model)
    return AudioEncoder(name, spec, model) if isinstance(spec, AudioSpec) else TextEncoder(name, spec, model)


def _load_model(bundle: Bundle, encoder: str, spec: EncoderSpec) -> TfliteModel:
    key = bundle.manifest.encoder_key(encoder)
    try:
        return TfliteModel(bundle.model(spec.model), spec.input, list(spec.outputs.values()))
    except MismatchError as error:
        raise bundle.problem(str(error), *key, *_tensor_key(bundle.manifest, spec, error)) from error
    except ModelError as error:
        raise bundle.problem(str(error), *key, "model") from error


def _tensor_key(manifest: Manifest, spec: EncoderSpec, error: MismatchError) -> tuple[str | int, ...]:
    """Return the key of a tensor beneath the encoder's. The error knows an output by its number."""
    role, *rest = error.key
    if role != "outputs":
        return error.key
    if manifest.format == 1:
        return ("output", *rest[1:])
    return (role, *(list(spec.outputs)[number] for number in rest[:1] if isinstance(number, int)), *rest[1:])
