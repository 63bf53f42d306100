"""From the colours a picture has to those that a model wants."""

from functools import lru_cache

import cv2
import numpy as np

from daemon.encoders.shrink import Small
from daemon.records import Array, Colours, Tensor

WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""The share of red and of blue in luma: ITU-R BT.601-7, 2.5.1; ITU-R BT.709-6, 3.2."""

LIMITED_LUMA, LIMITED_CHROMA = 219, 224
"""The steps of limited range, luma from 16 on, chroma around 128: ITU-R BT.601-7, 2.5.3; ITU-R BT.709-6, 3.4."""

FULL_FROM_LIMITED = np.clip((np.arange(256) - 16) * (255 / LIMITED_LUMA) + 0.5, 0, 255).astype(np.uint8)
"""From luma in limited range to grey in full range."""

_FROM_BGR = {"rgb": cv2.COLOR_BGR2RGB, "grey": cv2.COLOR_BGR2GRAY}
_FROM_I420 = {"rgb": cv2.COLOR_YUV2RGB_I420, "bgr": cv2.COLOR_YUV2BGR_I420}


def rgb_from_yuv(colours: Colours) -> Array:
    """The 3 x 4 matrix that takes (Y, Cb, Cr, 1) in bytes to (R, G, B) in 0 to 255."""
    red, blue = WEIGHTS[colours.matrix]
    green = 1 - red - blue
    of_cb = np.array([0, -2 * blue * (1 - blue) / green, 2 * (1 - blue)])
    of_cr = np.array([2 * (1 - red), -2 * red * (1 - red) / green, 0])
    luma, chroma, black = (1.0, 1.0, 0) if colours.is_full_range else (255 / LIMITED_LUMA, 255 / LIMITED_CHROMA, 16)
    offset = -luma * black - chroma * 128 * (of_cb + of_cr)
    return np.stack((np.full(3, luma), chroma * of_cb, chroma * of_cr, offset), axis=1).astype(np.float32)


@lru_cache
def _matrix(colours: Colours, colour: str) -> Array:
    """From (Y, Cb, Cr, 1) to the channels of `colour`; grey as OpenCV makes it of BGR, by BT.601's weights."""
    matrix = rgb_from_yuv(colours)
    red, blue = WEIGHTS["bt601"]
    grey = np.array([[red, 1 - red - blue, blue]], np.float32) @ matrix
    return {"rgb": matrix, "bgr": np.ascontiguousarray(matrix[::-1]), "grey": grey}[colour]


def is_as_wanted(small: Small, colour: str) -> bool:
    """Whether the one plane of the picture needs no conversion, save that luma may be in limited range."""
    return len(small.planes) == 1 and colour == ("grey" if small.planes[0].ndim == 2 else "bgr")


def convert(small: Small, colour: str, scratch: Tensor, out: Tensor) -> None:
    """Write the picture in another colour into `out`: uint8 (height, width, 3), grey without the last axis.

    `scratch` is memory for three bytes a pixel.
    """
    width, height = small.size
    if len(small.planes) == 1:
        cv2.cvtColor(small.planes[0], _FROM_BGR[colour], out)
    elif small.is_i420:
        cv2.cvtColor(small.memory.reshape(height * 3 // 2, width), _FROM_I420[colour], out)
    else:
        merged = scratch[: height * width * 3].reshape(height, width, 3)
        cv2.merge(small.planes, merged)
        cv2.transform(merged, _matrix(small.colours, colour), out)
