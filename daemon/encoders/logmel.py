"""Log-mel spectra of sound, by the formula in docs/bundle.md."""

import numpy as np

from daemon.bundle.encoder_specs import AudioPreprocessing
from daemon.core.records import Array, Array64


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
