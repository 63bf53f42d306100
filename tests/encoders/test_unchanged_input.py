"""An unchanged input is not encoded again, and a changed one always is."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import AudioSpec, ImageSpec, OutputSpec, TensorSpec, TextSpec
from daemon.core.errors import ModelError
from daemon.core.records import CPU, Colours, Frame, Line, Tensor
from daemon.encoders.audio import AudioEncoder, Patch
from daemon.encoders.image import ImageEncoder
from daemon.encoders.text import TextEncoder
from tests.encoders.test_image import spec
from tests.encoders.test_logmel import SMALL


class Summing:
    """Implements `Model`. Its output differs between inputs."""

    def __init__(self, tensor: TensorSpec, device: str = CPU) -> None:
        self.device = device
        self.input: Tensor = np.full(tensor.shape, 7, tensor.dtype)
        self.invoked = 0
        self.fails = False

    def invoke(self) -> list[Tensor]:
        self.invoked += 1
        if self.fails:
            raise ModelError("invoke failed")
        flat = self.input.reshape(-1).astype(np.float64)
        return [np.array([[flat.sum(), (flat * np.arange(len(flat))).sum()]], np.float32)]


def with_output(target: ImageSpec) -> ImageSpec:
    return target.model_copy(update={"outputs": {"output": OutputSpec(shape=[1, 2], dtype="float32")}})


OUTPUT = {"model": "m.tflite", "outputs": {"output": {"shape": [1, 2], "dtype": "float32"}}, "max_age_ms": 100}
AUDIO = AudioSpec.model_validate(
    {
        **OUTPUT,
        "modality": "audio",
        "input": {"shape": [1, 6, 8, 1], "dtype": "int8", "scale": 0.05, "zero_point": 10},
        "preprocessing": SMALL.model_dump(),
    }
)
TEXT = TextSpec.model_validate({**OUTPUT, "modality": "text", "input": {"shape": [1, 8], "dtype": "int32"}})
IMAGE = with_output(spec(24, 24, "pad", dtype="uint8", scale=1 / 127.5, zero_point=128))

RNG = np.random.default_rng(9)
SPECTRA = RNG.normal(0, 1, (6, 8)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (32, 48, 3), np.uint8)


def patch(spectra: np.ndarray, at_ns: int) -> Patch:
    return Patch(spectra, at_ns - 1, at_ns)


def one_bit_off(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[-1, -1, -1] ^= 1
    return changed


CASES = {
    "image": (ImageEncoder, IMAGE, lambda at_ns: Frame((PIXELS[:24, :24].copy(),), at_ns)),
    "audio": (AudioEncoder, AUDIO, lambda at_ns: patch(SPECTRA.copy(), at_ns)),
    "text": (TextEncoder, TEXT, lambda at_ns: Line("seven", at_ns)),
}
CHANGED = {
    "image": lambda at_ns: Frame((one_bit_off(PIXELS[:24, :24]),), at_ns),
    "audio": lambda at_ns: patch(np.where(np.arange(48).reshape(6, 8) == 0, SPECTRA + 1, SPECTRA), at_ns),
    "text": lambda at_ns: Line("seven ", at_ns),
}


@pytest.mark.parametrize("modality", CASES)
def test_an_unchanged_input_gives_the_same_embedding_with_new_times(modality: str) -> None:
    encoder_class, target, item = CASES[modality]
    model = Summing(target.input)
    encoder = encoder_class(modality, target, model)
    first, again = encoder.encode(item(5)), encoder.encode(item(9))
    assert model.invoked == 1
    assert (first.end_ns, again.end_ns, again.device) == (5, 9, CPU)
    assert np.array_equal(first.vector, again.vector)
    changed = encoder.encode(CHANGED[modality](11))
    assert (model.invoked, changed.end_ns) == (2, 11)
    assert not np.array_equal(changed.vector, first.vector)


@pytest.mark.parametrize("modality", CASES)
def test_the_embedding_of_an_accelerator_is_not_reused(modality: str) -> None:
    encoder_class, target, item = CASES[modality]
    model = Summing(target.input, "edgetpu")
    encoder = encoder_class(modality, target, model)
    encoder.encode(item(5))
    encoder.encode(item(9))
    assert model.invoked == 2


@pytest.mark.parametrize("modality", CASES)
def test_no_embedding_is_reused_after_a_failure(modality: str) -> None:
    encoder_class, target, item = CASES[modality]
    model = Summing(target.input)
    encoder = encoder_class(modality, target, model)
    good = encoder.encode(item(1))
    model.fails = True
    with pytest.raises(ModelError):
        encoder.encode(CHANGED[modality](2))
    with pytest.raises(ModelError):
        encoder.encode(CHANGED[modality](3))
    model.fails = False
    changed = encoder.encode(CHANGED[modality](4))
    assert model.invoked == 4
    assert not np.array_equal(changed.vector, good.vector)


def frames() -> Iterator[Frame]:
    """Yield a few pictures whose layouts, sizes and colours must be told apart."""
    luma, half = PIXELS[:, :, 0], PIXELS[:16, :24]
    chroma = (half[..., 1], half[..., 2])
    plain = Frame((luma, *chroma), 0)
    yield plain
    yield replace(plain, colours=Colours("bt709"))
    yield replace(plain, colours=Colours(is_full_range=True))
    yield Frame((luma, PIXELS[:, :, 1], PIXELS[:, :, 2]), 0)
    yield Frame((PIXELS,), 0)
    yield Frame((np.rot90(PIXELS).copy(),), 0)
    yield Frame((np.rot90(PIXELS)[1:].copy(),), 0)
    yield Frame((np.full((24, 24, 3), 128, np.uint8),), 0)
    yield Frame((np.full((24, 24), 128, np.uint8), *[np.full((12, 12), 128, np.uint8)] * 2), 0)


FRAMES = list(frames())


@given(
    st.lists(st.integers(0, len(FRAMES) - 1), min_size=1, max_size=12),
    st.sampled_from(["stretch", "pad", "crop"]),
    st.sampled_from(["rgb", "bgr", "grey"]),
    st.sampled_from([(24, 24), (25, 23)]),
    st.sampled_from([{"dtype": "float32"}, {"dtype": "uint8", "scale": 1 / 127.5, "zero_point": 128}]),
)
def test_an_embedding_does_not_depend_on_earlier_frames(
    order: Sequence[int], how: str, colour: str, to: tuple[int, int], tensor: dict[str, object]
) -> None:
    target = with_output(spec(*to, how, colour, **tensor))
    reused = ImageEncoder("image", target, Summing(target.input))
    for number in order:
        fresh = ImageEncoder("image", target, Summing(target.input)).encode(FRAMES[number])
        assert np.array_equal(reused.encode(FRAMES[number]).vector, fresh.vector)
