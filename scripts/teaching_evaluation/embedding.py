"""Embeddings of clips and pictures, by the daemon's own flow. They are computed once and kept in a folder."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from evaluation.progress import with_progress
from evaluation.stream_events import fused_of
from home_evaluation.material import CLIP_S, Clip, Sound
from home_evaluation.outcome import PROCESSES, loaded
from home_evaluation.scenes import Scene
from numpy.typing import NDArray

from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.records import Array, Frame, Plane
from daemon.sources.container import read_picture

# So few sounds or pictures are embedded in this process: starting others takes longer.
FEW = 100

Item = TypeVar("Item")
Made = TypeVar("Made")

# Silence before and after a clip, where its events are looked for.
SILENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A sound of exactly CLIP_S: what is longer is cut, what is shorter ends in silence."""

    sound: Sound

    def samples(self, rate_hz: int) -> Array:
        """The sound: float32 (n,) in [-1, 1]."""
        size = round(CLIP_S * rate_hz)
        samples = self.sound.samples(rate_hz)[:size]
        return np.pad(samples, (0, size - len(samples)))


@dataclass(frozen=True, slots=True)
class Heard:
    """The moments of sounds of one length: times in the stream (n,), and the embedding of sound (sounds, n, D)."""

    times_ns: NDArray[np.int64]
    vectors: Array


@dataclass(frozen=True, slots=True)
class Clips:
    """Clips of a data set. `presses` are the clips alone, as a press stores them; `streamed` have silence around."""

    names: Sequence[str]
    paths: Sequence[Path]
    folds: NDArray[np.int64]
    presses: Heard
    streamed: Heard

    def of(self, name: str, folds: Sequence[int]) -> list[int]:
        """The indices of the clips of a class in these folds."""
        chosen = np.isin(self.folds, folds)
        return [index for index, each in enumerate(self.names) if each == name and chosen[index]]


def kept(folder: Path, name: str, key: Sequence[object]) -> Path:
    """The file that keeps an array of this name. Another key gives another file."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{digest}.npz"


def hear(bundle: Path, sounds: Sequence[Sound], around_s: float, folder: Path, name: str) -> Heard:
    """The moments of sounds of equal length, streamed one by one with silence around them."""
    path = kept(folder, name, (_models(bundle), [repr(sound) for sound in sounds], around_s))
    if not path.exists():
        scenes = [Scene(Cut(sound), around_s=around_s) for sound in sounds]
        heard = _made(partial(_moments, bundle), scenes, name)
        np.savez(path, times_ns=heard[0][0], vectors=np.stack([vectors for _, vectors in heard]))
    with np.load(path) as stored:
        return Heard(stored["times_ns"], stored["vectors"])


def hear_clips(bundle: Path, data: Path, folder: Path) -> Clips:
    """All clips of the data set of sounds. The first number of a file's name is its fold."""
    paths = sorted((data / "sounds").glob("*/*.ogg"))
    sounds = [Clip(path.parent.name, path) for path in paths]
    folds = np.array([int(path.stem.split("-")[0]) for path in paths])
    presses = hear(bundle, sounds, 0.0, folder, "presses")
    streamed = hear(bundle, sounds, SILENCE_S, folder, "clips")
    return Clips([sound.name for sound in sounds], paths, folds, presses, streamed)


def see(bundle: Path, pictures: Sequence[Plane], folder: Path, name: str) -> Mapping[str, Array]:
    """The embeddings (n, D) of BGR pictures, by encoder."""
    digest = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest()
    path = kept(folder, name, (_models(bundle), digest))
    if not path.exists():
        seen = _made(partial(_seen, bundle), pictures, name)
        np.savez(path, **{encoder: np.stack([each[encoder] for each in seen]) for encoder in seen[0]})
    with np.load(path) as stored:
        return dict(stored)


def read_photos(data: Path) -> tuple[list[str], list[Plane]]:
    """The class and the pixels of every photo."""
    paths = sorted((data / "photos").glob("*/*.jpg"))
    return [path.parent.name for path in paths], [read_picture(path).planes[0] for path in paths]


def _made(make: Callable[[Item], Made], items: Sequence[Item], what: str) -> list[Made]:
    """What `make` makes of each item, in other processes where there are many."""
    if len(items) <= FEW:
        return [make(item) for item in items]
    with get_context("spawn").Pool(PROCESSES) as pool:
        return list(with_progress(what, pool.imap(make, items, chunksize=4), len(items)))


def _moments(bundle: Path, scene: Scene) -> tuple[NDArray[np.int64], Array]:
    recogniser = loaded(bundle)
    steps = fused_of(
        recogniser, scene.captured(recogniser.bundle.manifest.sample_rate_hz), FusionConfig(), EventsConfig()
    )
    moments = [recognition.moment for fused in steps for recognition in fused.recognitions]
    vectors = [np.concatenate([each.vector for each in moment.embeddings.values()]) for moment in moments]
    return np.array([moment.time_ns for moment in moments], np.int64), np.stack(vectors)


def _seen(bundle: Path, picture: Plane) -> dict[str, Array]:
    recogniser = loaded(bundle)
    specs = recogniser.bundle.manifest.encoder_specs
    return {
        name: encoder.encode(Frame((picture,), 0)).vector.copy()
        for name, encoder in recogniser.encoders.items()
        if specs[name].modality == "image"
    }


def _models(bundle: Path) -> str:
    """What determines the embeddings: the manifest and the models of the bundle."""
    digest = hashlib.sha256()
    for path in sorted([bundle / "bundle.yaml", *bundle.glob("*.tflite")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
