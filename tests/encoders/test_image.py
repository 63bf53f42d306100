"""Frames of any layout, shape and colour become the input of the model."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.encoder_specs import ImageSpec
from daemon.core.records import Frame, Tensor
from daemon.encoders.image import ImageEncoder, fit


def spec(width: int, height: int, how: str = "stretch", colour: str = "rgb", **tensor: object) -> ImageSpec:
    channels = 1 if colour == "grey" else 3
    return ImageSpec.model_validate(
        {
            "modality": "image",
            "model": "m.tflite",
            "input": {"shape": [1, height, width, channels], "dtype": "float32", **tensor},
            "preprocessing": {"colour": colour, "fit": how, "resize": "area", "mean": 127.5, "std": 127.5},
            "outputs": {"output": {"shape": [1, 1], "dtype": "float32"}},
            "max_age_ms": 100,
        }
    )


def scene(width: int, height: int) -> np.ndarray:
    """Return a smooth BGR picture. Its colours change slowly, so that chroma of half the size can hold them."""
    down, across = np.mgrid[0:height, 0:width]
    planes = [across * 200 / width + 20, down * 180 / height + 30, (across + down) * 150 / (width + height) + 40]
    return np.stack(planes, axis=2).astype(np.uint8)


def as_yuv(bgr: np.ndarray) -> Frame:
    height, width = bgr.shape[:2]
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return Frame((i420[:height], chroma[0], chroma[1]), 7)


@given(
    st.integers(40, 120).map(lambda n: 2 * n),
    st.integers(40, 120).map(lambda n: 2 * n),
    st.integers(12, 70),
    st.integers(12, 70),
    st.sampled_from(["stretch", "pad", "crop"]),
    st.sampled_from(["rgb", "bgr", "grey"]),
)
def test_both_layouts_give_the_same_picture(
    width: int, height: int, to_width: int, to_height: int, how: str, colour: str
) -> None:
    target = spec(to_width, to_height, how, colour)
    bgr = scene(width, height)
    from_bgr, from_yuv = fit(Frame((bgr,), 0), target), fit(as_yuv(bgr), target)
    assert from_bgr.shape == from_yuv.shape == (to_height, to_width, 1 if colour == "grey" else 3)
    difference = np.abs(from_bgr.astype(int) - from_yuv.astype(int))
    assert np.median(difference) <= 4
    assert np.percentile(difference, 90) <= 25


def test_padding_keeps_the_full_frame_and_cropping_its_middle() -> None:
    white = Frame((np.full((40, 80, 3), 255, np.uint8),), 0)
    padded = fit(white, spec(60, 60, "pad", "grey"))[..., 0]
    assert (padded[15:45] == 255).all()
    assert (padded[:15] == 0).all()
    assert (padded[45:] == 0).all()
    half = np.zeros((40, 80, 3), np.uint8)
    half[:, 20:60] = 255
    assert (fit(Frame((half,), 0), spec(20, 20, "crop", "grey")) == 255).all()


def test_channels_are_in_the_order_of_the_model() -> None:
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 200
    assert fit(Frame((blue,), 0), spec(4, 4, colour="rgb"))[0, 0].tolist() == [0, 0, 200]
    assert fit(Frame((blue,), 0), spec(4, 4, colour="bgr"))[0, 0].tolist() == [200, 0, 0]


class Recorder:
    """Implements `Model`. A test reads its input."""

    device = "gpu"

    def __init__(self, target: ImageSpec) -> None:
        self.input: Tensor = np.zeros(target.input.shape, target.input.dtype)

    def invoke(self) -> list[Tensor]:
        return [np.zeros((1, 1), np.float32)]


@pytest.mark.parametrize("colour", ["grey", "rgb"])
@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        ({"dtype": "float32"}, [-1.0, 1.0]),
        ({"dtype": "uint8", "scale": 1 / 127.5, "zero_point": 128}, [0, 255]),
        ({"dtype": "uint8", "scale": 1 / 127.5, "zero_point": 127}, [0, 255]),
        ({"dtype": "int8", "scale": 1 / 127.5, "zero_point": 0}, [-128, 127]),
    ],
)
def test_pixels_are_normalised_and_quantized_into_the_models_own_memory(
    tensor: dict, expected: list[float], colour: str
) -> None:
    target = spec(2, 2, colour=colour, **tensor)
    model = Recorder(target)
    model.input[...] = 3
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[1] = 255
    embedding = ImageEncoder("image", target, model).encode(Frame((picture,), 7))
    for channel in range(target.input.shape[3]):
        found = model.input[0, :, 0, channel].tolist()
        assert found == pytest.approx(expected, abs=1.0 if tensor["dtype"] != "float32" else 1e-6)
    assert (embedding.start_ns, embedding.end_ns, embedding.device) == (7, 7, "gpu")
