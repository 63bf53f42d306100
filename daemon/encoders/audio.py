"""The audio encoder: streamed sound to log-mel patches, a patch to an embedding."""

from dataclasses import dataclass

import numpy as np

from daemon.bundle.manifest import AudioPreprocessing, AudioSpec
from daemon.core.errors import InputError
from daemon.core.ports import Model
from daemon.core.records import Array, Array64, Block, Embedding, Modality
from daemon.encoders.model_io import Embedder, write_quantized


class LogMel:
    """The spectra of docs/bundle.md: Hann window, magnitude, HTK mel filters, log."""

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._window_samples = preprocessing.window_samples
        self._hop_samples = preprocessing.hop_samples
        self._fft_size = preprocessing.fft_size
        self._log_offset = np.float32(preprocessing.log_offset)
        phase = 2 * np.pi * np.arange(preprocessing.window_samples) / preprocessing.window_samples
        self._window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        self._filters = mel_filters(preprocessing)

    def spectra(self, samples: Array) -> Array:
        """All whole spectra of `samples` (n,): float32 of shape (1 + (n - window) // hop, mel_bands)."""
        count = 1 + (len(samples) - self._window_samples) // self._hop_samples
        if count < 1:
            return np.empty((0, self._filters.shape[1]), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(samples, self._window_samples)[:: self._hop_samples][:count]
        magnitudes = np.abs(np.fft.rfft(windows * self._window, self._fft_size)).astype(np.float32, copy=False)
        spectra: Array = np.log(magnitudes @ self._filters + self._log_offset)
        return spectra


def mel_filters(preprocessing: AudioPreprocessing) -> Array:
    """Triangular filters as a matrix (fft_size // 2 + 1, mel_bands), evenly spaced and linear on the HTK mel scale.

    The bin at 0 Hz takes no part, as in the reference implementation of YAMNet's front end.
    """
    bins_hz = np.arange(preprocessing.fft_size // 2 + 1) * preprocessing.sample_rate_hz / preprocessing.fft_size
    bins = _hz_to_mel(bins_hz)[:, np.newaxis]
    low, high = _hz_to_mel(np.array([preprocessing.mel_low_hz, preprocessing.mel_high_hz]))
    edges = np.linspace(low, high, preprocessing.mel_bands + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    filters[0] = 0.0
    matrix: Array = np.maximum(filters, 0.0).astype(np.float32)
    return matrix


def _hz_to_mel(hz: Array64) -> Array64:
    """The HTK mel scale: 2595 log10(1 + f / 700)."""
    mel: Array64 = 2595.0 * np.log10(1.0 + hz / 700.0)
    return mel


class PatchStream:
    """Cuts a stream of samples into log-mel patches that overlap, computing each spectrum once.

    Spectra are computed when a patch is due, all new ones in one go: that costs a third of one by one.
    """

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._logmel = LogMel(preprocessing)
        self._frames, self._stride = preprocessing.frames, preprocessing.stride_frames
        self.skipped = 0
        self.reset()

    @property
    def patch_samples(self) -> int:
        """How many samples one patch is computed from."""
        return self._samples_for(self._frames)

    def reset(self) -> None:
        """Forget everything: what comes next does not continue what came before."""
        self._samples = np.empty(0, np.float32)
        self._spectra = np.empty((0, self._preprocessing.mel_bands), np.float32)
        self._missing = self._frames
        self._position = 0

    def push(self, samples: Array, wanted: bool = True) -> list[tuple[Array, int]]:
        """Take consecutive samples (n,); give the patches that are now whole.

        Each is a float32 array (frames, mel_bands) with the position just after its last sample, in samples since the
        last reset. Where they are not wanted nothing is computed nor given, but counted in `skipped`; what comes later
        is the same as ever.
        """
        self._samples = np.concatenate((self._samples, samples))
        self._position += len(samples)
        patches = []
        while len(self._samples) >= (needed := self._samples_for(self._missing)):
            if not wanted:
                self._skip()
                continue
            fresh = self._logmel.spectra(self._samples[:needed])
            self._spectra = np.concatenate((self._spectra, fresh))[-self._frames :]
            patches.append((self._spectra, self._position - len(self._samples) + needed))
            self._samples = self._samples[self._missing * self._preprocessing.hop_samples :]
            self._missing = self._stride
        return patches

    def _skip(self) -> None:
        """Leave a patch out; of its sound keep what the next one takes."""
        self.skipped += 1
        self._missing += self._stride
        needless = max(0, self._missing - max(self._frames, self._stride))
        self._samples = self._samples[needless * self._preprocessing.hop_samples :]
        self._missing -= needless

    def _samples_for(self, spectra: int) -> int:
        return (spectra - 1) * self._preprocessing.hop_samples + self._preprocessing.window_samples


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
