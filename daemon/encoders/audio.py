"""The audio encoder: streamed sound to log-mel patches, a patch to an embedding."""

from dataclasses import dataclass

from daemon.encoders.logmel import PatchStream
from daemon.encoders.tensors import embedding_vector, quantize
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
    """Invokes the model on a patch. Used by one thread at a time."""

    modality: Modality = "audio"

    def __init__(self, spec: AudioSpec, model: Model) -> None:
        self._spec = spec
        self._model = model
        self._target = model.input.reshape(spec.preprocessing.frames, spec.preprocessing.mel_bands)

    def encode(self, item: Patch) -> Embedding:
        """The embedding of one patch."""
        self._target[...] = quantize(item.spectra, self._spec.input)
        output = self._model.invoke()[0]
        vector = embedding_vector(output, self._spec.output, self._spec.transform)
        return Embedding(self.modality, vector, item.start_ns, item.end_ns, self._model.device)
