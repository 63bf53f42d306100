"""What the finished encoders say of items that none of them learned from; the head is fitted to that."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from daemon.core.records import Embedding, Frame, Line, Modality
from daemon.encoders.audio import AudioEncoder, Patch
from daemon.encoders.image import ImageEncoder
from daemon.encoders.text import TextEncoder
from daemon.inference.interpreter import TfliteModel
from training import audios
from training.bundle import specs
from training.glyphs import load_digits
from training.lines import make_lines
from training.moments import Heard, Labels
from training.scenes import Composer
from training.specs import SEED

ITEMS = 16_000
"""Of each modality."""
FADED_SHARE = 0.35
"""Of the handwritten digits, those that are hard to read: as many as there are spoken ones in loud noise."""


def listen(directory: Path, data: Path) -> Mapping[Modality, Heard]:
    """Embeddings of development items by the models in `directory`, through the daemon's own encoders."""
    rng = np.random.default_rng(SEED + 1)
    return {
        "image": _seen(directory, data, rng),
        "audio": _heard(directory, data, rng),
        "text": _read(directory, rng),
    }


def _seen(directory: Path, data: Path, rng: np.random.Generator) -> Heard:
    spec = specs(directory)["image"]
    encoder = ImageEncoder(spec, TfliteModel(directory / spec.model, spec.input, [spec.output]))
    frames, labels, _ = Composer(*load_digits(data, "dev"), faded_share=FADED_SHARE).frames(ITEMS, rng)
    return _all([encoder.encode(Frame((np.repeat(frame[..., np.newaxis], 3, axis=2),), 0)) for frame in frames], labels)


def _heard(directory: Path, data: Path, rng: np.random.Generator) -> Heard:
    spec = specs(directory)["audio"]
    encoder = AudioEncoder(spec, TfliteModel(directory / spec.model, spec.input, [spec.output]))
    patches, labels = audios.head_items(data, ITEMS, rng)
    return _all([encoder.encode(Patch(patch, 0, 0)) for patch in patches], labels)


def _read(directory: Path, rng: np.random.Generator) -> Heard:
    spec = specs(directory)["text"]
    encoder = TextEncoder(spec, TfliteModel(directory / spec.model, spec.input, [spec.output]))
    lines, labels = make_lines(ITEMS, rng, "dev")
    return _all([encoder.encode(Line(line, 0)) for line in lines], labels)


def _all(embeddings: list[Embedding], labels: Labels) -> Heard:
    return Heard(np.stack([embedding.vector for embedding in embeddings]), labels)
