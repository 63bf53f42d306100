"""A waveform is cut into the same windows whatever the size of the blocks that it comes in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import AudioSpec, WaveformPreprocessing
from daemon.core.records import Block
from daemon.core.sealed import SealedFile
from daemon.encoders.audio import AudioEncoder, AudioFrontEnd, Patch, WindowStream
from daemon.inference.interpreter import TfliteModel
from tests.helpers.format2_bundle import write_layers

SHAPES = [(16, 16), (16, 5), (40, 16), (16, 40), (17, 100), (64, 1)]


def waveform(samples: int, stride: int) -> WaveformPreprocessing:
    """Return windows of these sizes, also of fewer samples than a manifest may have."""
    return WaveformPreprocessing.model_construct(
        kind="waveform", sample_rate_hz=8000, samples=samples, stride_samples=stride
    )


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0, 1, count).astype(np.float32)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.booleans()), min_size=1, max_size=40),
    st.sampled_from(SHAPES),
)
def test_blocks_of_any_size_give_the_windows_of_the_whole_sound(cuts: list[tuple[int, bool]], shape: tuple) -> None:
    length, stride = shape
    stream, sound = WindowStream(waveform(length, stride)), noise(sum(size for size, _ in cuts))
    expected, found, start = 0, [], 0
    for size, is_needed in cuts:
        begin, start = start, start + size
        windows = stream.push(sound[begin:start], is_needed)
        ends = [end for end in range(length, start + 1, stride) if end > begin]
        assert [end for _, end in windows] == (ends if is_needed else [])
        found += windows
        expected += len(ends)
        assert len(stream._samples) < length, "no more is kept than the next window uses"
    assert stream.skipped + len(found) == expected
    for window, end in found:
        assert window.dtype == np.float32
        assert np.array_equal(window, sound[end - length : end])


def test_a_window_stays_as_it_was() -> None:
    stream, block = WindowStream(waveform(16, 8)), noise(16)
    ((window, _),) = stream.push(block)
    before = window.copy()
    block[:] = 0
    stream.push(noise(16))
    assert np.array_equal(window, before)


def test_windows_carry_the_capture_time_of_their_sound_and_never_span_a_gap() -> None:
    front_end = AudioFrontEnd(waveform(240, 80))
    first = [front_end.push(Block(noise(160), 8000, index * 20_000_000)) for index in range(3)]
    assert [len(patches) for patches in first] == [0, 2, 2]
    assert [(patch.start_ns, patch.end_ns) for patch in first[1]] == [(0, 30_000_000), (10_000_000, 40_000_000)]
    assert front_end.push(Block(noise(160), 8000, 900_000_000, gap=True)) == []
    (after_gap, _) = front_end.push(Block(noise(160), 8000, 920_000_000))
    assert (after_gap.start_ns, after_gap.end_ns) == (900_000_000, 930_000_000)


def test_a_closed_gate_skips_windows_and_changes_no_later_one() -> None:
    blocks = [Block(noise(160 + index)[:160], 8000, index * 20_000_000) for index in range(10)]
    full, gated = AudioFrontEnd(waveform(240, 100)), AudioFrontEnd(waveform(240, 100))
    expected = [patch for block in blocks for patch in full.push(block)]
    found = [patch for index, block in enumerate(blocks) for patch in gated.push(block, index >= 7)]
    late = [patch for patch in expected if patch.end_ns > blocks[6].end_ns]
    assert [(patch.start_ns, patch.end_ns) for patch in found] == [(patch.start_ns, patch.end_ns) for patch in late]
    assert all(np.array_equal(one.values, other.values) for one, other in zip(found, late, strict=True))
    assert gated.skipped == len(expected) - len(found)


@pytest.mark.parametrize(
    ("shape", "tensor"),
    [
        ([16], {"dtype": "float32"}),
        ([1, 16], {"dtype": "float32"}),
        ([1, 16, 1], {"dtype": "float32"}),
    ],
)
def test_a_model_takes_the_window_in_any_shape_that_holds_it(tmp_path: Path, shape: list[int], tensor: dict) -> None:
    weights = np.arange(32, dtype=np.float32).reshape(2, 16) / 16
    path = tmp_path / "m.tflite"
    path.write_bytes(write_layers(shape, {"scores": weights[:1], "embedding": weights[1:]}, {}))
    spec = AudioSpec.model_validate(
        {
            "modality": "audio",
            "model": "m.tflite",
            "input": {"shape": shape, **tensor},
            "preprocessing": {"kind": "waveform", "sample_rate_hz": 8000, "samples": 16, "stride_samples": 16},
            "outputs": {name: {"shape": [1, 1], "dtype": "float32"} for name in ("scores", "embedding")},
            "max_age_ms": 100,
        }
    )
    model = TfliteModel(SealedFile(path), spec.input, list(spec.outputs.values()))
    encoder = AudioEncoder("sound", spec, model)
    sound = noise(16)
    embedding = encoder.encode(Patch(sound, 3, 9))
    np.testing.assert_allclose(embedding.vector, weights @ sound, rtol=1e-4)
    assert (embedding.encoder, embedding.start_ns, embedding.end_ns) == ("sound", 3, 9)
    again = encoder.encode(Patch(sound.copy(), 9, 15))
    assert again.end_ns == 15 and again.vector is embedding.vector
