"""Log-mel spectra against their definition, against a reference, and in a stream of any pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemon.bundle.encoder_specs import AudioPreprocessing
from daemon.core.records import Block
from daemon.encoders.audio import AudioFrontEnd, PatchStream
from daemon.encoders.logmel import LogMel
from tests.shared import SHARED, needs_shared

YAMNET = AudioPreprocessing(
    sample_rate_hz=16_000,
    window_samples=400,
    hop_samples=160,
    fft_size=512,
    mel_bands=64,
    mel_low_hz=125,
    mel_high_hz=7500,
    frames=96,
    stride_frames=48,
)
SMALL = AudioPreprocessing(
    sample_rate_hz=8000,
    window_samples=60,
    hop_samples=20,
    fft_size=64,
    mel_bands=8,
    mel_low_hz=100,
    mel_high_hz=3900,
    frames=6,
    stride_frames=2,
)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)


@needs_shared
def test_streamed_spectra_agree_with_those_of_yamnets_makers() -> None:
    sound = np.fromfile(SHARED / "models" / "yamnet_test_audio.bin", "<i2").astype(np.float32) / 32768
    theirs = np.fromfile(SHARED / "models" / "yamnet_test_spectra.bin", "<f4").reshape(96, 64)
    stream = PatchStream(YAMNET)
    patches = [patch for start in range(0, len(sound), 320) for patch in stream.push(sound[start : start + 320])]
    assert len(patches) == 1
    ours, end = patches[0]
    assert end == len(sound)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.9999
    difference = ours - theirs
    assert np.abs(difference - difference.mean()).mean() < 0.02


def test_a_tone_peaks_in_the_band_that_holds_its_frequency() -> None:
    times = np.arange(16_000) / 16_000
    edges_mel = np.linspace(2595 * np.log10(1 + 125 / 700), 2595 * np.log10(1 + 7500 / 700), 66)
    centres_hz = 700 * (10 ** (edges_mel[1:-1] / 2595) - 1)
    for tone_hz in (300, 1000, 4000):
        spectrum = LogMel(YAMNET).spectra(np.sin(2 * np.pi * tone_hz * times).astype(np.float32)).mean(axis=0)
        assert abs(centres_hz[spectrum.argmax()] - tone_hz) < 0.06 * tone_hz + 40


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_patches_do_not_depend_on_how_the_sound_is_cut(sizes: list[int]) -> None:
    sound = noise(sum(sizes))
    full, cut = PatchStream(SMALL), PatchStream(SMALL)
    expected = full.push(sound)
    starts = np.cumsum([0, *sizes])
    found = [
        patch for start, size in zip(starts, sizes, strict=False) for patch in cut.push(sound[start : start + size])
    ]
    assert [end for _, end in found] == [end for _, end in expected]
    for (ours, _), (theirs, _) in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@given(st.integers(0, 2000))
def test_streamed_patches_equal_the_spectra_of_the_batch(count: int) -> None:
    sound = noise(count)
    spectra = LogMel(SMALL).spectra(sound)
    patches = PatchStream(SMALL).push(sound)
    assert len(patches) == max(0, 1 + (len(spectra) - SMALL.frames) // SMALL.stride_frames)
    for index, (patch, end) in enumerate(patches):
        first = index * SMALL.stride_frames
        np.testing.assert_allclose(patch, spectra[first : first + SMALL.frames], atol=1e-5)
        assert end == (first + SMALL.frames - 1) * SMALL.hop_samples + SMALL.window_samples


@given(
    st.lists(st.tuples(st.integers(1, 200), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([(6, 2), (6, 6), (4, 9), (1, 1), (5, 4)]),
)
def test_needed_patches_do_not_depend_on_skipped_ones(cuts: list[tuple[int, bool]], shape: tuple[int, int]) -> None:
    frames, stride = shape
    preprocessing = SMALL.model_copy(update={"frames": frames, "stride_frames": stride})
    sound = noise(sum(size for size, _ in cuts))
    full, gated = PatchStream(preprocessing), PatchStream(preprocessing)
    expected, found, start, computed = [], [], 0, 0
    for size, is_needed in cuts:
        piece = sound[start : (start := start + size)]
        patches = full.push(piece)
        expected += patches if is_needed else []
        computed += len(patches)
        found += gated.push(piece, is_needed)
        assert len(gated._samples) < 60 + 20 * max(frames, stride) + 20 * stride
    assert gated.skipped + len(found) == computed
    assert [end for _, end in found] == [end for _, end in expected]
    for (ours, _), (theirs, _) in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_front_end_counts_skipped_patches_and_stamps_the_others_as_before() -> None:
    blocks = [Block(noise(160, index), 8000, index * 20_000_000) for index in range(10)]
    full, gated = AudioFrontEnd(SMALL), AudioFrontEnd(SMALL)
    expected = [patch.end_ns for block in blocks for patch in full.push(block)]
    found = [patch.end_ns for index, block in enumerate(blocks) for patch in gated.push(block, index >= 7)]
    assert found == [end_ns for end_ns in expected if end_ns > blocks[6].end_ns]
    assert gated.skipped == len(expected) - len(found)


def test_patches_carry_the_capture_time_of_their_sound_and_never_span_a_gap() -> None:
    front_end = AudioFrontEnd(SMALL)
    patch_samples = 5 * 20 + 60
    first = [front_end.push(Block(noise(160), 8000, index * 20_000_000)) for index in range(3)]
    assert [len(patches) for patches in first] == [1, 4, 4]
    assert (first[0][0].start_ns, first[0][0].end_ns) == (0, patch_samples * 125_000)
    assert first[2][-1].end_ns == 60_000_000
    after_gap = front_end.push(Block(noise(160), 8000, 900_000_000, gap=True))
    assert [(patch.start_ns, patch.end_ns) for patch in after_gap] == [(900_000_000, 920_000_000)]
    assert front_end.push(Block(noise(100), 8000, 990_000_000, gap=True)) == []


def test_windows_leave_no_sound_between_them() -> None:
    with pytest.raises(ValidationError, match="hop_samples must not exceed window_samples"):
        AudioPreprocessing.model_validate({**YAMNET.model_dump(), "hop_samples": 401})
