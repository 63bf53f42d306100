"""Which part of a frame goes where in a model's input; no pixels are touched."""

from daemon.records import Frame

Size = tuple[int, int]
"""Width and height in pixels."""


def crop_to_shape(frame: Frame, width: int, height: int) -> Frame:
    """The largest middle part of the frame with the shape of width x height, in whole grains."""
    frame_width, frame_height = frame.size
    left, right = _middle(frame_width, frame_height * width // height, frame.grain)
    top, bottom = _middle(frame_height, frame_width * height // width, frame.grain)
    return frame.part(left, top, right, bottom)


def _middle(size: int, wanted: int, grain: int) -> tuple[int, int]:
    """Where the middle `wanted` of `size` pixels begin and end; all of them where more are wanted."""
    length = max(grain, min(size, wanted) // grain * grain)
    begin = (size - length) // 2 // grain * grain
    return begin, begin + length


def largest_inside(size: Size, box: Size) -> Size:
    """The largest size of the same shape as `size` that fits into `box`."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))
