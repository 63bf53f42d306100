"""A bundle made ready to run: its encoders and its head, every tensor checked against the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daemon.bundle.bundle import Bundle
from daemon.bundle.manifest import AudioSpec, ImageSpec, Manifest, TensorSpec, TextSpec, Threshold
from daemon.config.node import Config
from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.document import Loaded
from daemon.core.errors import BundleError, DocumentError, MismatchError, ModelError
from daemon.core.ports import Encoder, Model
from daemon.core.records import Array, Modality
from daemon.encoders.audio import AudioEncoder
from daemon.encoders.image import ImageEncoder
from daemon.encoders.text import TextEncoder
from daemon.fusion.align import AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import FusionHead, StreamFusion
from daemon.inference.accelerator import Accelerator
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import Placement
from daemon.pipeline.keep_alive import too_late

NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Recogniser:
    """The loaded encoders of a bundle, and heads and fusions made from it on demand.

    `models` are those of the encoders on the CPU; `accelerators` run those that were placed elsewhere. `helpers` are
    further encoders, each with a model of its own, so that several threads can encode at once.
    """

    bundle: Bundle
    models: Mapping[Modality, TfliteModel]
    encoders: Mapping[Modality, Encoder[Any]]
    placements: Mapping[Modality, Placement] = field(default_factory=dict)
    accelerators: Sequence[Accelerator] = ()
    helpers: Mapping[Modality, Sequence[Encoder[Any]]] = field(default_factory=dict)

    @property
    def crews(self) -> dict[Modality, Sequence[Encoder[Any]]]:
        """Of each modality, all encoders that can work at once."""
        return {modality: (encoder, *self.helpers.get(modality, ())) for modality, encoder in self.encoders.items()}

    @property
    def stays_on_cpu(self) -> list[str]:
        """Which encoders run on the CPU though something else was wanted, or might be expected, and why."""
        return [f"{name} runs on the CPU: {place.reason}" for name, place in self.placements.items() if place.reason]

    def new_head(self) -> FusionHead:
        """A fusion head for one more thread."""
        return _load_head(self.bundle)

    def new_fusion(self, head: FusionHead, fusion: FusionConfig, events: EventsConfig) -> StreamFusion:
        """The fusion of one stream, with the stream's own settings."""
        manifest = self.bundle.manifest
        return StreamFusion(head, alignment_settings(manifest, fusion), event_settings(manifest, events))


def load_recogniser(bundle: Bundle) -> Recogniser:
    """Load every model, on the CPU. Raises BundleError that names the manifest's line of what does not fit."""
    specs = bundle.manifest.modalities.present()
    models = {modality: _load_model(bundle, modality, spec) for modality, spec in specs.items()}
    encoders = {modality: new_encoder(spec, models[modality]) for modality, spec in specs.items()}
    recogniser = Recogniser(bundle, models, encoders)
    recogniser.new_head()
    return recogniser


def load_helpers(bundle: Bundle, modality: Modality, count: int) -> list[Encoder[Any]]:
    """So many more encoders of a modality, on the CPU. Raises BundleError as `load_recogniser` does."""
    spec = bundle.manifest.modalities.present()[modality]
    return [new_encoder(spec, _load_model(bundle, modality, spec)) for _ in range(count)]


def alignment_settings(manifest: Manifest, config: FusionConfig) -> AlignmentSettings:
    """How old each modality of the bundle may be, and how often moments are made."""
    specs = manifest.modalities.present()
    max_age_ns = {modality: spec.max_age_ms * NS_PER_MS for modality, spec in specs.items()}
    return AlignmentSettings(max_age_ns, round(1e9 / config.max_rate_hz))


def event_settings(manifest: Manifest, config: EventsConfig) -> EventSettings:
    """The bundle's thresholds with the config's over them, and the config's time constants."""
    thresholds = [config.thresholds.get(label, manifest.thresholds.of(label)) for label in manifest.labels]
    return EventSettings(
        labels=manifest.labels,
        makes_events=[label not in manifest.background for label in manifest.labels],
        start=_column(thresholds, "start"),
        end=_column(thresholds, "end"),
        smoothing_ns=round(config.smoothing_s * 1e9),
        min_duration_ns=round(config.min_duration_s * 1e9),
        max_duration_ns=round(config.max_duration_s * 1e9),
        update_every_ns=round(config.update_every_s * 1e9),
    )


def check_matches_config(manifest: Manifest, config: Loaded[Config]) -> None:
    """Raises DocumentError when what the config says of events and gates cannot be used with the bundle."""
    if problems := [*_threshold_problems(manifest, config), *_gate_problems(manifest, config)]:
        raise DocumentError(problems)


def _threshold_problems(manifest: Manifest, config: Loaded[Config]) -> list[str]:
    """Thresholds for labels of which the bundle makes no events."""
    known = [label for label in manifest.labels if label not in manifest.background]
    return [
        f"{config.where('streams', name, 'events', 'thresholds', label)}: {manifest.id} makes no event of it; "
        f"expected one of {', '.join(known)}"
        for name, stream in config.document.streams.items()
        for label in stream.events.thresholds
        if label not in known
    ]


def _gate_problems(manifest: Manifest, config: Loaded[Config]) -> list[str]:
    """Gates behind which what was encoded last would be too old before it is told again."""
    return [
        f"{config.where('streams', name, 'gates', *key)} = {value:g}: {manifest.id} {expected}"
        for name, stream in config.document.streams.items()
        for key, value, expected in too_late(manifest.modalities, stream.gates)
    ]


def _column(thresholds: Sequence[Threshold], name: str) -> Array:
    return np.array([getattr(threshold, name) for threshold in thresholds], np.float32)


def new_encoder(spec: ImageSpec | AudioSpec | TextSpec, model: Model) -> Encoder[Any]:
    """The encoder of a modality by its model."""
    if isinstance(spec, ImageSpec):
        return ImageEncoder(spec, model)
    return AudioEncoder(spec, model) if isinstance(spec, AudioSpec) else TextEncoder(spec, model)


def _load_model(bundle: Bundle, modality: Modality, spec: ImageSpec | AudioSpec | TextSpec) -> TfliteModel:
    try:
        return TfliteModel(bundle.file(spec.model), spec.input, [spec.output])
    except MismatchError as error:
        raise bundle.problem(str(error), "modalities", modality, *error.key) from error
    except ModelError as error:
        raise bundle.problem(str(error), "modalities", modality, "model") from error


def _load_head(bundle: Bundle) -> FusionHead:
    manifest = bundle.manifest
    sizes = {modality: spec.output.size for modality, spec in manifest.modalities.present().items()}
    labels = len(manifest.labels)
    features = TensorSpec(shape=[1, manifest.head_input_size], dtype="float32")
    scores = TensorSpec(shape=[1, labels], dtype="float32")
    shares = TensorSpec(shape=[1, len(sizes), labels], dtype="float32")
    try:
        return FusionHead(TfliteModel(bundle.file(manifest.head.model), features, [scores, shares]), sizes)
    except MismatchError as error:
        key = "modalities" if error.key[0] == "input" else "labels"
        raise _head_problem(bundle, key, labels, sizes, error) from error
    except ModelError as error:
        raise bundle.problem(str(error), "head", "model") from error


def _head_problem(
    bundle: Bundle, key: str, labels: int, sizes: Mapping[Modality, int], error: MismatchError
) -> BundleError:
    lengths = " + ".join(f"{size} of {modality}" for modality, size in sizes.items())
    what = f"{labels} labels" if key == "labels" else f"embeddings of {lengths}, and {len(sizes)} present entries"
    return bundle.problem(f"{what} do not match the head: {error}", key)
