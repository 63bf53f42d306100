"""Pictures that are stored turned or mirrored are turned upright before masks, rotation and region."""

import struct
import threading
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.config.streams import PictureConfig, Region
from daemon.core.records import MODALITIES, Captured, Counters, Frame
from daemon.sources.container import read_picture, to_frame
from daemon.sources.files.replay import Recording, ReplaySource
from daemon.sources.http.decoder import PictureDecoder
from daemon.sources.orientation import UPRIGHT, orientation_of, rotation_matrix
from daemon.sources.picture import PicturePreparation
from tests.shared import SHARED, needs_shared

# The display matrix of each orientation: the pixel at (p, q) is seen at (a p + c q, b p + d q).
MATRICES = {
    "upright": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (-1, 0, 0, -1),
    "upside down, mirrored": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "clockwise": (0, 1, -1, 0),
    "clockwise, mirrored": (0, -1, -1, 0),
    "counterclockwise": (0, -1, 1, 0),
}

# EXIF numbers the same orientations from 1.
EXIF = dict(zip(range(1, 9), MATRICES.values(), strict=True))

# The level of each quarter of the picture: no turn maps them to themselves.
QUARTERS = ((240, 40), (90, 160))


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """Return a grey picture with a level in each quarter: uint8 (height, width)."""
    return np.kron(np.array(QUARTERS, np.uint8), np.ones((height // 2, width // 2), np.uint8))


def seen(stored: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Return the picture as it is to be seen, by moving each pixel."""
    a, b, c, d = matrix
    height, width = stored.shape
    rows, columns = np.mgrid[:height, :width]
    to_columns, to_rows = a * columns + c * rows, b * columns + d * rows
    to_columns, to_rows = to_columns - to_columns.min(), to_rows - to_rows.min()
    moved = np.zeros((to_rows.max() + 1, to_columns.max() + 1), np.uint8)
    moved[to_rows, to_columns] = stored
    return moved


def write_mp4(
    path: Path, matrix: tuple[int, int, int, int], pixel_format: str = "yuv420p", stored: np.ndarray | None = None
) -> Path:
    """Write three pictures, and the display matrix into the header of the track."""
    stored = picture() if stored is None else stored
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width = stored.shape
        video.pix_fmt = pixel_format
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(stored, cv2.COLOR_GRAY2BGR), format="bgr24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
    content = bytearray(path.read_bytes())
    a, b, c, d = matrix
    place = content.index(b"tkhd") + 44
    struct.pack_into(">9i", content, place, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def frames(path: Path, config: PictureConfig | None = None) -> list[Frame]:
    counters = {modality: Counters() for modality in MODALITIES}
    items: list[Captured] = []
    recording = Recording(path, picture=PicturePreparation(config or PictureConfig()))
    ReplaySource(recording, False, False, counters).run(items.append, threading.Event())
    return [item for item in items if isinstance(item, Frame)]


def grey(frame: Frame) -> np.ndarray:
    """Return the picture in grey, whatever its planes are."""
    if len(frame.planes) == 1:
        return cv2.cvtColor(frame.planes[0], cv2.COLOR_BGR2GRAY)
    return np.clip((frame.planes[0].astype(float) - 16) * 255 / 219, 0, 255).astype(np.uint8)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.astype(int) - expected).mean())


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
@pytest.mark.parametrize("name", MATRICES)
def test_a_recording_is_turned_as_its_display_matrix_says(tmp_path: Path, name: str, pixel_format: str) -> None:
    found = frames(write_mp4(tmp_path / "clip.mp4", MATRICES[name], pixel_format))
    assert len(found) == 3
    for frame in found:
        assert difference(grey(frame), seen(picture(), MATRICES[name])) < 4
        assert frame.part(0, 0, 8, 8).size == (8, 8)


def test_masks_rotation_and_region_apply_to_the_upright_picture(tmp_path: Path) -> None:
    config = PictureConfig(masks=[[[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]], rotate=90, region=Region(right=0.5))
    turned = write_mp4(tmp_path / "turned.mp4", MATRICES["clockwise"])
    upright = write_mp4(tmp_path / "upright.mp4", MATRICES["upright"], stored=seen(picture(), MATRICES["clockwise"]))
    for found, expected in zip(frames(turned, config), frames(upright, config), strict=True):
        assert found.size == (32, 48)
        assert difference(grey(found), grey(expected)) < 2


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270, -90, 89, 181, 360])
def test_the_nearest_quarter_turn_counts(clockwise: float) -> None:
    turns = round(clockwise / 90) % 4
    stored = picture()
    found = orientation_of(rotation_matrix(clockwise)).turn(Frame((stored,), 0)).planes[0]
    assert np.array_equal(found, np.rot90(stored, -turns))


def test_a_matrix_without_direction_is_upright() -> None:
    assert orientation_of(np.zeros(9, np.int32)) == UPRIGHT


def exif(orientation: int) -> bytes:
    return b"MM\0*" + struct.pack(">I", 8) + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)


def write_picture(path: Path, orientation: int) -> Path:
    """Write a picture with its orientation as EXIF data, as JPEG or PNG."""
    content = cv2.imencode(path.suffix, picture())[1].tobytes()
    if path.suffix == ".jpg":
        segment = b"Exif\0\0" + exif(orientation)
        path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:])
        return path
    chunk = b"eXIf" + exif(orientation)
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(content[:33] + length + chunk + checksum + content[33:])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", EXIF)
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path: Path, orientation: int, suffix: str) -> None:
    frame = read_picture(write_picture(tmp_path / f"picture{suffix}", orientation))
    assert difference(grey(frame), seen(picture(), EXIF[orientation])) < 2


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_replayed_jpeg_is_turned_as_its_exif_data_say(tmp_path: Path, orientation: int) -> None:
    (frame,) = frames(write_picture(tmp_path / "picture.jpg", orientation))
    assert difference(grey(frame), seen(picture(), EXIF[orientation])) < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_that_came_over_http_is_turned_as_its_exif_data_say(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    data = write_picture(tmp_path / f"picture{suffix}", orientation).read_bytes()
    frame = to_frame(PictureDecoder().decode(data), 0)
    assert difference(grey(frame), seen(picture(), EXIF[orientation])) < 2


@needs_shared
def test_a_recording_of_a_phone_held_sideways_gives_what_the_upright_one_gives() -> None:
    config = PictureConfig(masks=[[[0, 0], [0.3, 0], [0.3, 0.4], [0, 0.4]]], region=Region(left=0.1, bottom=0.9))
    for each in (PictureConfig(), config):
        turned, upright = (frames(SHARED / "faults" / f"phone_{name}.mp4", each) for name in ("rotated", "upright"))
        assert len(turned) == len(upright) == 270
        for one, other in zip(turned[::30], upright[::30], strict=True):
            assert difference(one.planes[0], other.planes[0]) < 2
