"""Embeddings by the finished encoders of items that none of them was trained on, for the head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from daemon.core.ports import Encoder
from daemon.core.records import Embedding, Frame, Line, Modality
from daemon.core.sealed import SealedFile
from daemon.encoders.audio import Patch
from daemon.inference.interpreter import TfliteModel
from daemon.pipeline.recogniser import new_encoder
from training import audios
from training.bundle import modalities
from training.glyphs import load_digits
from training.lines import make_lines
from training.moments import LabelledEmbeddings, Labels
from training.scenes import Composer
from training.specs import SEED

# Items of each modality.
ITEMS = 16_000
# Share of handwritten digits that are hard to read. It matches the share of spoken digits in loud noise.
FADED_SHARE = 0.35


def embed_items(directory: Path, data: Path) -> Mapping[Modality, LabelledEmbeddings]:
    """Embeddings of development items by the models in `directory`, through the daemon's encoders."""
    rng = np.random.default_rng(SEED + 1)
    return {
        "image": _image_items(directory, data, rng),
        "audio": _audio_items(directory, data, rng),
        "text": _text_items(directory, rng),
    }


def _image_items(directory: Path, data: Path, rng: np.random.Generator) -> LabelledEmbeddings:
    encoder = _encoder(directory, "image")
    frames, labels, _ = Composer(*load_digits(data, "dev"), faded_share=FADED_SHARE).frames(ITEMS, rng)
    return _labelled(
        [encoder.encode(Frame((np.repeat(frame[..., np.newaxis], 3, axis=2),), 0)) for frame in frames], labels
    )


def _audio_items(directory: Path, data: Path, rng: np.random.Generator) -> LabelledEmbeddings:
    encoder = _encoder(directory, "audio")
    patches, labels = audios.head_items(data, ITEMS, rng)
    return _labelled([encoder.encode(Patch(patch, 0, 0)) for patch in patches], labels)


def _text_items(directory: Path, rng: np.random.Generator) -> LabelledEmbeddings:
    encoder = _encoder(directory, "text")
    lines, labels = make_lines(ITEMS, rng, "dev")
    return _labelled([encoder.encode(Line(line, 0)) for line in lines], labels)


def _encoder(directory: Path, modality: Modality) -> Encoder[Any]:
    spec = modalities(directory).encoders()[modality]
    model = TfliteModel(SealedFile(directory / spec.model), spec.input, list(spec.outputs.values()))
    return new_encoder(modality, spec, model)


def _labelled(embeddings: list[Embedding], labels: Labels) -> LabelledEmbeddings:
    return LabelledEmbeddings(np.stack([embedding.vector for embedding in embeddings]), labels)
