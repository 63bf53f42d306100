"""The measured bundle: preprocessing, encoders and head of the daemon, without threads."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from daemon.bundle.bundle import load_bundle
from daemon.core.records import Array, Block, Embedding, Frame, Line, Modality, Moment, Recognition
from daemon.encoders.audio import AudioFrontEnd
from daemon.pipeline.recogniser import load_recogniser

DIGITS = [str(digit) for digit in range(10)]


class Subject:
    """A bundle of digits. Its first labels are 0 to 9; any others are no digits."""

    def __init__(self, directory: Path) -> None:
        self.bundle = load_bundle(directory)
        self.recogniser = load_recogniser(self.bundle)
        self._encoders, self._head = self.recogniser.encoders, self.recogniser.new_head()
        manifest = self.bundle.manifest
        audio = manifest.encoder_specs.get("audio")
        if manifest.labels[:10] != DIGITS or audio is None:
            raise ValueError(f"{directory}: expected 0 to 9 as the first labels, and an audio encoder")
        self.audio = audio.preprocessing
        self.starts = np.array([manifest.thresholds.of(label).start for label in DIGITS])

    @property
    def window_samples(self) -> int:
        """Samples of sound that one embedding is computed from."""
        return (self.audio.frames - 1) * self.audio.hop_samples + self.audio.window_samples

    def embed_frames(self, frames: Iterable[Frame]) -> Array:
        """Embeddings (n, D) of frames."""
        return np.stack([self._encoders["image"].encode(frame).vector for frame in frames])

    def embed_lines(self, lines: Iterable[str]) -> Array:
        """Embeddings (n, D) of lines."""
        return np.stack([self._encoders["text"].encode(Line(line, 0)).vector for line in lines])

    def embed_sounds(self, windows: Iterable[Array]) -> Array:
        """Embeddings (n, D) of sounds of exactly `window_samples`."""
        front_end, rate_hz = AudioFrontEnd(self.audio), self.audio.sample_rate_hz
        vectors = []
        for samples in windows:
            (patch,) = front_end.push(Block(samples, rate_hz, 0, gap=True))
            vectors.append(self._encoders["audio"].encode(patch).vector)
        return np.stack(vectors)

    def recognise(self, vectors: Mapping[Modality, Array]) -> Recognition:
        """The recognition from one embedding (D,) of each modality that is present."""
        return self._head.recognise(Moment(0, {name: Embedding(name, row, 0, 0) for name, row in vectors.items()}))

    def scores(self, embeddings: Mapping[Modality, Array]) -> Array:
        """The scores (n, L) of n moments, from embeddings (n, D) of each modality that is present."""
        names: Sequence[Modality] = list(embeddings)
        rows = zip(*embeddings.values(), strict=True)
        return np.stack([self.recognise(dict(zip(names, row, strict=True))).scores for row in rows])
