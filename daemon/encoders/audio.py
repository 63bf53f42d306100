"""The audio encoder: from streamed sound to log-mel patches, and from a patch to an embedding."""

from dataclasses import dataclass

import numpy as np

from daemon.bundle.encoder_specs import AudioPreprocessing, AudioSpec
from daemon.core.errors import InputError
from daemon.core.ports import Model
from daemon.core.records import Array, Array64, Block, Embedding
from daemon.core.timing import NS_PER_S
from daemon.encoders.model_io import Embedder, write_quantized


class LogMel:
    """Computes the spectra that docs/bundle.md defines: Hann window, magnitude, HTK mel filters, logarithm."""

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._window_samples = preprocessing.window_samples
        self._hop_samples = preprocessing.hop_samples
        self._fft_size = preprocessing.fft_size
        self._log_offset = np.float32(preprocessing.log_offset)
        phase = 2 * np.pi * np.arange(preprocessing.window_samples) / preprocessing.window_samples
        self._window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        self._filters = mel_filters(preprocessing)

    def spectra(self, samples: Array) -> Array:
        """Return all complete spectra of `samples` (n,): float32 (1 + (n - window) // hop, mel_bands)."""
        count = 1 + (len(samples) - self._window_samples) // self._hop_samples
        if count < 1:
            return np.empty((0, self._filters.shape[1]), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(samples, self._window_samples)[:: self._hop_samples][:count]
        magnitudes = np.abs(np.fft.rfft(windows * self._window, self._fft_size)).astype(np.float32, copy=False)
        spectra: Array = np.log(magnitudes @ self._filters + self._log_offset)
        return spectra


def mel_filters(preprocessing: AudioPreprocessing) -> Array:
    """Return triangular filters as a matrix (fft_size // 2 + 1, mel_bands).

    The filters are evenly spaced and linear on the HTK mel scale.
    """
    bins_hz = np.arange(preprocessing.fft_size // 2 + 1) * preprocessing.sample_rate_hz / preprocessing.fft_size
    bins = _hz_to_mel(bins_hz)[:, np.newaxis]
    low, high = _hz_to_mel(np.array([preprocessing.mel_low_hz, preprocessing.mel_high_hz]))
    edges = np.linspace(low, high, preprocessing.mel_bands + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    filters[0] = 0.0  # the reference implementation of YAMNet leaves out the bin at 0 Hz too
    matrix: Array = np.maximum(filters, 0.0).astype(np.float32)
    return matrix


def _hz_to_mel(hz: Array64) -> Array64:
    """Return frequencies on the HTK mel scale: 2595 log10(1 + f / 700)."""
    mel: Array64 = 2595.0 * np.log10(1.0 + hz / 700.0)
    return mel


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

    @property
    def patch_samples(self) -> int:
        """The number of samples in one patch."""
        return self._samples_for(self._frames)

    def reset(self) -> None:
        """Forget all samples: the next ones do not continue those before."""
        self._samples = np.empty(0, np.float32)
        self._spectra = np.empty((0, self._preprocessing.mel_bands), np.float32)
        self._missing = self._frames
        self._position = 0

    def push(self, samples: Array, is_needed: bool = True) -> list[tuple[Array, int]]:
        """Take consecutive samples (n,) and return the patches that are now complete.

        A patch is a float32 array (frames, mel_bands) with the position just after its last sample.
        Positions count samples since the last reset.
        Without `is_needed` the patches are only counted in `skipped`. Later patches do not depend on this.
        """
        self._samples = np.concatenate((self._samples, samples))
        self._position += len(samples)
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


@dataclass(frozen=True, slots=True)
class Patch:
    """Log-mel spectra of the sound captured in `[start_ns, end_ns)`: float32 (frames, mel_bands)."""

    spectra: Array
    start_ns: int
    end_ns: int


class AudioFrontEnd:
    """Turns the blocks of one stream into patches. A patch never spans a gap."""

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._rate_hz = preprocessing.sample_rate_hz
        self._patches = PatchStream(preprocessing)
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
        return [self._stamp(spectra, end, block) for spectra, end in self._patches.push(block.samples, is_needed)]

    def _stamp(self, spectra: Array, end: int, block: Block) -> Patch:
        end_ns = block.end_ns - self._duration_ns(self._pushed - end)
        return Patch(spectra, end_ns - self._duration_ns(self._patches.patch_samples), end_ns)

    def _duration_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz


class AudioEncoder:
    """Invokes the model on a patch, if it differs from the one before. Used by one thread at a time."""

    def __init__(self, name: str, spec: AudioSpec, model: Model) -> None:
        self.name = name
        self._quantization = spec.input
        shape = (spec.preprocessing.frames, spec.preprocessing.mel_bands)
        self._target = model.input.reshape(shape)
        self._scratch: Array = np.empty(shape, np.float32)
        self._spectra: Array = np.full(shape, np.nan, np.float32)
        output = next(iter(spec.outputs.values()))
        self._embedder = Embedder(name, model, output, output.transform)

    def encode(self, item: Patch) -> Embedding:
        """Return the embedding of one patch. Raises ModelError."""
        is_unchanged = self._is_unchanged(item.spectra)
        self._spectra = item.spectra
        return self._embedder.embed(is_unchanged, self._write, item.start_ns, item.end_ns)

    def _write(self) -> None:
        write_quantized(self._spectra, self._quantization, self._target, self._scratch)

    def _is_unchanged(self, spectra: Array) -> bool:
        # compares the latest spectrum first: changing sound differs there
        return bool((spectra[-1] == self._spectra[-1]).all() and (spectra == self._spectra).all())
