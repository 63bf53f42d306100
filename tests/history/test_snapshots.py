"""Snapshots: the picture nearest to an instant, of packets that a real encoder has made."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.core.errors import InputError
from daemon.core.media import MediaPacket
from daemon.core.records import Colours, Frame
from daemon.core.timing import NS_PER_S
from daemon.history.snapshots import MAX_WIDTH, jpeg_of, shrunk_jpeg, snapshot_of
from tests.helpers.clips import write_clip
from tests.helpers.kept_media import START_NS, own_pictures, packets_of

# Y, Cb and Cr of a pure blue, and of a grey
PLAIN_BLUE, FULL_BLUE_709 = (41, 240, 110), (18, 255, 116)


def shade(jpeg: bytes | None) -> float:
    assert jpeg is not None
    return float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).mean())


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def pictures_of(path: Path) -> list[MediaPacket]:
    return [packet for packet in packets_of(path) if packet.format.kind == "video"]


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "a.ts"), ("libx264", "a.mp4"), ("libx265", "b.ts"), ("libx265", "b.mp4")]
)
@pytest.mark.parametrize("has_extradata", [True, False])
def test_the_picture_at_an_instant_is_decoded_from_its_key_frame(
    codec: str, name: str, has_extradata: bool, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / name, seconds=3, keys_s=1, flashes_s=[1.48, 2.96], video_codec=codec, sound_hz=None)
    packets = pictures_of(source)
    if not has_extradata:
        if name.endswith("mp4"):
            return  # the packets of an MP4 are nothing without
        bare = replace(packets[0].format, extradata=None)
        packets = [replace(packet, format=bare) for packet in packets]
    assert shade(snapshot_of(packets, at(1.48))) > 200
    assert shade(snapshot_of(packets, at(1.49))) > 200
    assert shade(snapshot_of(packets, at(1.44))) < 100
    # the last pictures come only when the decoder is told that no more follow
    assert shade(snapshot_of(packets, at(2.96))) > 200
    assert shade(snapshot_of(packets, at(60))) > 200
    assert shade(snapshot_of(packets, at(-60))) < 100


def test_a_picture_of_the_nodes_own_is_returned_as_it_is() -> None:
    packets = own_pictures(10, white=[4])
    assert snapshot_of(packets, at(0.82)) == packets[4].data
    camera = [replace(packet, format=replace(packet.format, is_own_picture=False)) for packet in packets]
    assert shade(snapshot_of(camera, at(0.82))) > 200


def test_a_large_picture_is_made_smaller(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.ts", seconds=0.2, size=(1920, 1080), sound_hz=None)
    found = snapshot_of(pictures_of(source), at(0.1))
    assert found is not None
    assert cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR).shape == (720, MAX_WIDTH, 3)


@pytest.mark.parametrize("data", [b"", b"\0\0\1\x65", bytes(range(256)) * 20])
def test_packets_that_cannot_be_decoded_have_no_snapshot(data: bytes, tmp_path: Path) -> None:
    packets = [replace(packet, data=data) for packet in pictures_of(write_clip(tmp_path / "a.ts", seconds=0.4))]
    assert snapshot_of(packets, at(0)) is None
    assert snapshot_of([], at(0)) is None
    assert snapshot_of([replace(packet, is_key=False) for packet in packets], at(0)) is None


def test_damage_before_the_picture_does_not_hide_it(tmp_path: Path) -> None:
    packets = pictures_of(write_clip(tmp_path / "a.ts", seconds=2, keys_s=4, flashes_s=[1.6]))
    packets[10] = replace(packets[10], data=packets[10].data[:8])
    assert snapshot_of(packets, at(1.6)) is not None


def planes(colour: tuple[int, int, int], size: tuple[int, int], down: int, across: int) -> tuple[np.ndarray, ...]:
    width, height = size
    chroma = (height // down, width // across)
    return tuple(
        np.full(shape, value, np.uint8) for shape, value in zip([(height, width), chroma, chroma], colour, strict=True)
    )


@pytest.mark.parametrize("subsampling", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("size", [(64, 48), (70, 34), (2000, 100)])
@pytest.mark.parametrize(
    ("colour", "colours"), [(PLAIN_BLUE, Colours()), (FULL_BLUE_709, Colours("bt709", is_full_range=True))]
)
def test_each_kind_of_frame_becomes_a_jpeg_of_the_same_colour(
    subsampling: tuple[int, int], size: tuple[int, int], colour: tuple[int, int, int], colours: Colours
) -> None:
    found = jpeg_of(Frame(planes(colour, size, *subsampling), 0, colours), 90)
    pixels = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1] == min(size[0], MAX_WIDTH)
    assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - (255, 0, 0)).max() < 8


def test_a_frame_of_bgr_becomes_a_jpeg() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 2] = 255
    found = cv2.imdecode(np.frombuffer(jpeg_of(Frame((pixels,), 0)), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(found.reshape(-1, 3).mean(axis=0) - (0, 0, 255)).max() < 8
    with pytest.raises(InputError):
        jpeg_of(Frame(planes((1, 2, 3), (64, 48), 4, 4), 0))


@pytest.mark.parametrize("max_bytes", [60_000, 10_000, 2_000])
def test_a_jpeg_is_made_smaller_until_it_fits(max_bytes: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    jpeg = jpeg_of(Frame((noise,), 0), 85)
    assert len(jpeg) > 100_000
    found = shrunk_jpeg(jpeg, max_bytes)
    assert found is not None
    assert len(found) <= max_bytes
    assert 80 <= cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR).shape[1] <= 640
    assert shrunk_jpeg(found, max_bytes) == found


def test_a_jpeg_that_cannot_fit_is_none() -> None:
    jpeg = jpeg_of(Frame((np.zeros((48, 64, 3), np.uint8),), 0))
    assert shrunk_jpeg(jpeg, 100) is None
    assert shrunk_jpeg(b"no JPEG at all", 5) is None
