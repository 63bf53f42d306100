"""The audio encoder: from streamed sound to patches, and from a patch to an embedding."""

from dataclasses import dataclass

import numpy as np

from daemon.bundle.encoder_specs import AudioSpec
from daemon.bundle.sound_preprocessing import AudioPreprocessing, SoundPreprocessing, WaveformPreprocessing
from daemon.core.errors import InputError
from daemon.core.ports import Model
from daemon.core.records import Array, Block, Embedding
from daemon.core.timing import NS_PER_S
from daemon.encoders.logmel import LogMel
from daemon.encoders.model_io import Embedder, write_quantized


class PatchStream:
    """Cuts a stream of samples into overlapping log-mel patches. Computes each spectrum once.

    `skipped` counts the patches that were not computed.
    """

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._logmel = LogMel(preprocessing)
        self._frames, self._stride = preprocessing.frames, preprocessing.stride_frames
        self.skipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget all samples: the next ones do not continue those before."""
        self._samples = np.empty(0, np.float32)
        # blocks that follow `_samples`, and their length
        self._blocks: list[Array] = []
        self._blocks_samples = 0
        self._spectra = np.empty((0, self._preprocessing.mel_bands), np.float32)
        self._missing = self._frames
        self._position = 0

    def push(self, samples: Array, is_needed: bool = True) -> list[tuple[Array, int]]:
        """Take consecutive samples (n,) and return the patches that are now complete.

        A patch is a float32 array (frames, mel_bands) with the position just after its last sample.
        Positions count samples since the last reset.
        Without `is_needed` the patches are only counted in `skipped`. Later patches do not depend on this.
        """
        self._blocks.append(samples)
        self._blocks_samples += len(samples)
        self._position += len(samples)
        # blocks are joined once for each patch, because joining takes longer than all else that is done for a block
        if len(self._samples) + self._blocks_samples < self._samples_for(self._missing):
            return []
        self._samples = np.concatenate((self._samples, *self._blocks))
        self._blocks, self._blocks_samples = [], 0
        patches = []
        while len(self._samples) >= (needed := self._samples_for(self._missing)):
            if not is_needed:
                self._skip()
                continue
            # all new spectra of a patch at once: one by one they cost three times as much
            fresh = self._logmel.spectra(self._samples[:needed])
            self._spectra = np.concatenate((self._spectra, fresh))[-self._frames :]
            patches.append((self._spectra, self._position - len(self._samples) + needed))
            self._samples = self._samples[self._missing * self._preprocessing.hop_samples :]
            self._missing = self._stride
        return patches

    def _skip(self) -> None:
        """Skip a patch, and drop the samples that the next patch does not use."""
        self.skipped += 1
        self._missing += self._stride
        unused = max(0, self._missing - max(self._frames, self._stride))
        self._samples = self._samples[unused * self._preprocessing.hop_samples :]
        self._missing -= unused

    def _samples_for(self, spectra: int) -> int:
        return (spectra - 1) * self._preprocessing.hop_samples + self._preprocessing.window_samples


class WindowStream:
    """Cuts a stream of samples into windows of one length, at equal distances.

    `skipped` counts the windows that were not needed.
    """

    def __init__(self, preprocessing: WaveformPreprocessing) -> None:
        self._length, self._stride = preprocessing.samples, preprocessing.stride_samples
        self.skipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget all samples: the next ones do not continue those before."""
        self._samples = np.empty(0, np.float32)
        self._needed = self._length
        self._position = 0

    def push(self, samples: Array, is_needed: bool = True) -> list[tuple[Array, int]]:
        """Take consecutive samples (n,) and return the windows that are now complete.

        A window is a float32 array (samples,) with the position just after its last sample.
        Positions count samples since the last reset.
        Without `is_needed` the windows are only counted in `skipped`.
        """
        self._samples = np.concatenate((self._samples, samples))
        self._position += len(samples)
        windows = []
        self._drop_unused()
        while len(self._samples) >= self._needed:
            if is_needed:
                end = self._position - len(self._samples) + self._needed
                windows.append((self._samples[self._needed - self._length : self._needed], end))
            else:
                self.skipped += 1
            self._needed += self._stride
            self._drop_unused()
        return windows

    def _drop_unused(self) -> None:
        """Drop the samples before the next window, which may begin after the latest sample."""
        unused = min(self._needed - self._length, len(self._samples))
        self._samples = self._samples[unused:]
        self._needed -= unused


@dataclass(frozen=True, slots=True)
class Patch:
    """What an audio encoder takes of the sound captured in `[start_ns, end_ns)`.

    `values` are float32: log-mel spectra (frames, mel_bands), or a waveform (samples,).
    """

    values: Array
    start_ns: int
    end_ns: int


class AudioFrontEnd:
    """Turns the blocks of one stream into patches. A patch never spans a gap."""

    def __init__(self, preprocessing: SoundPreprocessing) -> None:
        self._rate_hz = preprocessing.sample_rate_hz
        self._patches = _patch_stream(preprocessing)
        self._patch_samples = preprocessing.patch_samples
        self._pushed = 0

    @property
    def skipped(self) -> int:
        """The number of patches that were not computed because they were not needed."""
        return self._patches.skipped

    def push(self, block: Block, is_needed: bool = True) -> list[Patch]:
        """Take the next block and return the patches that are now complete, none without `is_needed`.

        Raises InputError when the block does not have the sample rate of the bundle.
        """
        if block.sample_rate_hz != self._rate_hz:
            raise InputError(f"sound at {block.sample_rate_hz} Hz, expected {self._rate_hz} Hz")
        if block.gap:
            self._patches.reset()
            self._pushed = 0
        self._pushed += len(block.samples)
        return [self._stamp(values, end, block) for values, end in self._patches.push(block.samples, is_needed)]

    def _stamp(self, values: Array, end: int, block: Block) -> Patch:
        end_ns = block.end_ns - self._duration_ns(self._pushed - end)
        return Patch(values, end_ns - self._duration_ns(self._patch_samples), end_ns)

    def _duration_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz


def _patch_stream(preprocessing: SoundPreprocessing) -> PatchStream | WindowStream:
    if isinstance(preprocessing, WaveformPreprocessing):
        return WindowStream(preprocessing)
    return PatchStream(preprocessing)


class AudioEncoder:
    """Invokes the model on a patch, if it differs from the one before. Used by one thread at a time."""

    def __init__(self, name: str, spec: AudioSpec, model: Model) -> None:
        self.name = name
        self._quantization = spec.input
        shape = spec.preprocessing.patch_shape
        self._target = model.input.reshape(shape)
        self._scratch: Array = np.empty(shape, np.float32)
        self._values: Array = np.full(shape, np.nan, np.float32)
        self._embedder = Embedder(name, model, spec.outputs)

    def encode(self, item: Patch) -> Embedding:
        """Return the embedding of one patch. Raises ModelError."""
        is_unchanged = self._is_unchanged(item.values)
        self._values = item.values
        return self._embedder.embed(is_unchanged, self._write, item.start_ns, item.end_ns)

    def _write(self) -> None:
        write_quantized(self._values, self._quantization, self._target, self._scratch)

    def _is_unchanged(self, values: Array) -> bool:
        # compares the latest spectrum or sample first: changing sound differs there
        return bool((values[-1] == self._values[-1]).all() and (values == self._values).all())
