"""The audio encoder: streamed sound to log-mel patches, a patch to an embedding."""

from dataclasses import dataclass

import numpy as np

from daemon.encoders.embed import Embedder
from daemon.encoders.logmel import PatchStream
from daemon.encoders.tensors import write_quantized
from daemon.errors import InputError
from daemon.manifest import AudioPreprocessing, AudioSpec
from daemon.ports import Model
from daemon.records import Array, Block, Embedding, Modality


@dataclass(frozen=True, slots=True)
class Patch:
    """Log-mel spectra of the sound captured in `[start_ns, end_ns)`: float32 of shape (frames, mel_bands)."""

    spectra: Array
    start_ns: int
    end_ns: int


class AudioFrontEnd:
    """Turns the blocks of one stream into patches; a patch never spans a gap."""

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._rate_hz = preprocessing.sample_rate_hz
        self._patches = PatchStream(preprocessing)
        self._pushed = 0

    @property
    def skipped(self) -> int:
        """How many patches were not computed because nobody wanted them."""
        return self._patches.skipped

    def push(self, block: Block, wanted: bool = True) -> list[Patch]:
        """Take the next block; give the patches that are now whole, none where they are not wanted.

        Raises InputError when the block has another sample rate than the bundle wants.
        """
        if block.sample_rate_hz != self._rate_hz:
            raise InputError(f"sound at {block.sample_rate_hz} Hz, expected {self._rate_hz} Hz")
        if block.gap:
            self._patches.reset()
            self._pushed = 0
        self._pushed += len(block.samples)
        return [self._stamp(spectra, end, block) for spectra, end in self._patches.push(block.samples, wanted)]

    def _stamp(self, spectra: Array, end: int, block: Block) -> Patch:
        end_ns = block.end_ns - self._duration_ns(self._pushed - end)
        return Patch(spectra, end_ns - self._duration_ns(self._patches.patch_samples), end_ns)

    def _duration_ns(self, samples: int) -> int:
        return samples * 1_000_000_000 // self._rate_hz


class AudioEncoder:
    """Invokes the model on a patch that differs from the one before. Used by one thread at a time."""

    modality: Modality = "audio"

    def __init__(self, spec: AudioSpec, model: Model) -> None:
        self._quantization = spec.input
        shape = (spec.preprocessing.frames, spec.preprocessing.mel_bands)
        self._target = model.input.reshape(shape)
        self._scratch: Array = np.empty(shape, np.float32)
        self._spectra: Array = np.full(shape, np.nan, np.float32)
        self._embedder = Embedder(self.modality, model, spec.output, spec.transform)

    def encode(self, item: Patch) -> Embedding:
        """The embedding of one patch."""
        is_as_before = self._is_as_before(item.spectra)
        self._spectra = item.spectra
        return self._embedder.embed(is_as_before, self._write, item.start_ns, item.end_ns)

    def _write(self) -> None:
        write_quantized(self._spectra, self._quantization, self._target, self._scratch)

    def _is_as_before(self, spectra: Array) -> bool:
        # sound that changes differs in its latest spectrum already
        return bool((spectra[-1] == self._spectra[-1]).all() and (spectra == self._spectra).all())
