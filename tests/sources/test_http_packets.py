"""The coded packets of HTTP cameras, for the history: each JPEG that is used, and the segments of HLS as one film."""

from pathlib import Path

import numpy as np
import pytest

from daemon.config.streams import CameraConfig, ReplayConfig, StreamConfig
from daemon.core.timing import NS_PER_MS
from daemon.sources.factory import keeps_packets
from tests.helpers.camera_run import CameraRun
from tests.helpers.clips import write_clip
from tests.helpers.films import check_film, decoded, of_kind
from tests.helpers.hls import HlsServer, content
from tests.helpers.jpegs import jpeg, part
from tests.helpers.raw_http import RawHttpServer, head
from tests.helpers.recorded import Enough, record
from tests.sources.hls_player import Played, pictures
from tests.sources.test_mjpeg import PICTURES, Sent
from tests.sources.test_still import Stills, Validated

MIXED = head("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=picture")


def test_each_jpeg_of_an_mjpeg_camera_is_a_packet() -> None:
    damaged = PICTURES[1][: len(PICTURES[1]) // 2]
    sent = [part(PICTURES[0]), part(damaged), *map(part, PICTURES[1:]), part(jpeg(60, size=(96, 64)))]
    with RawHttpServer(Sent(MIXED, sent)).serving() as server:
        run = CameraRun(server.url()).pictures(5)
    assert [packet.data for packet in run.packets] == [*PICTURES, jpeg(60, size=(96, 64))]
    check_film(run.packets[:4])
    assert [packet.captured_ns for packet in run.packets] == [frame.captured_ns for frame in run.frames]
    sizes = [(packet.format.codec, packet.format.width, packet.format.height) for packet in run.packets]
    assert sizes == [("mjpeg", 64, 48)] * 4 + [("mjpeg", 96, 64)]


def test_a_jpeg_that_fps_leaves_out_is_no_packet() -> None:
    with RawHttpServer(Sent(MIXED, [part(picture) for picture in PICTURES * 10])).serving() as server:
        run = CameraRun(server.url(), fps=20).pictures(3)
    assert run.counters["image"].left_out
    assert len(run.packets) == len(run.frames)


def test_a_still_picture_that_has_not_changed_is_a_packet_again() -> None:
    validated = Validated("ETag: {}", "If-None-Match")
    with RawHttpServer(validated).serving() as server:
        run = CameraRun(server.url(), fps=50).pictures(5)
    assert 304 in validated.statuses
    assert [packet.data for packet in run.packets[:5]] == [jpeg(50)] * 3 + [jpeg(90)] * 2
    check_film(run.packets)
    assert [packet.captured_ns for packet in run.packets] == [frame.captured_ns for frame in run.frames]


def test_a_still_picture_of_another_format_is_no_packet() -> None:
    import cv2

    png = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    with RawHttpServer(Stills([png], content_type="image/png")).serving() as server:
        run = CameraRun(server.url(), fps=50).pictures(2)
    assert run.packets == []


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_the_segments_of_hls_are_one_film(kind: str) -> None:
    with HlsServer(content(kind)).serving() as server:
        played = Played().until(f"{server.url}/live.m3u8", pictures(25))
    film = of_kind(played, "video")
    check_film(film)
    assert (film[0].format.codec, film[0].format.width, film[0].format.extradata is None) == ("h264", 80, False)
    shown = dict(decoded(film))
    assert len(shown) == len(film)
    sounds = of_kind(played, "audio")
    check_film(sounds)
    assert sounds[0].format.codec == "aac"
    assert len(decoded(sounds)) == len(sounds)
    # each picture that was delivered is in the film, at the same time and with the same delay
    by_time = {packet.captured_ns: packet for packet in film}
    for index, frame in enumerate(played.frames):
        nearest_ns = min(by_time, key=lambda at_ns: abs(at_ns - frame.captured_ns))
        assert abs(nearest_ns - frame.captured_ns) < 5 * NS_PER_MS
        packet = by_time[nearest_ns]
        # a packet is handed on a few pictures before its own: the delay rises meanwhile where the machine is late
        delays_ns = [each.delay_ns for each in played.frames[max(0, index - 5) : index + 1]]
        assert min(delays_ns) - 60 * NS_PER_MS < packet.delay_ns < max(delays_ns) + 60 * NS_PER_MS
        luma = shown[packet.pts_ns][: frame.size[1]]
        assert abs(luma.astype(int) - frame.planes[0]).max() == 0
    # and was handed on before it was delivered
    order = [played.order.index(by_time[min(by_time, key=lambda at: abs(at - f.captured_ns))]) for f in played.frames]
    assert all(at < played.order.index(frame) for at, frame in zip(order, played.frames, strict=True))


HIDING: list[dict[str, object]] = [
    {"masks": [[[0, 0], [0.5, 0], [0.5, 1]]]},
    {"region": {"left": 0.5}},
    {"rotate": 180},
]


@pytest.mark.parametrize("hiding", HIDING)
@pytest.mark.parametrize("kind", ["mjpeg", "hls"])
def test_a_stream_that_hides_or_turns_its_picture_keeps_no_packet(hiding: dict[str, object], kind: str) -> None:
    if kind == "mjpeg":
        with RawHttpServer(Sent(MIXED, [part(picture) for picture in PICTURES])).serving() as server:
            run = CameraRun(server.url(), **hiding).pictures(2)
    else:
        with HlsServer(content(segments=4)).serving() as server:
            run = CameraRun(f"{server.url}/vod.m3u8", **hiding).pictures(2)
    assert len(run.frames) >= 2
    assert run.packets == []


def test_a_file_and_a_replay_keep_no_packet(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=0.5)
    camera = StreamConfig(camera=CameraConfig(device=str(tmp_path / "clip.mp4"), loop=False))
    replay = StreamConfig(replay=ReplayConfig(file=str(tmp_path / "clip.mp4"), loop=False, pace="fast"))
    for stream in (camera, replay):
        recorded = record(stream, Enough(frames=3))
        assert recorded.frames
        assert recorded.packets == []


@pytest.mark.parametrize(
    ("camera", "kept"),
    [
        ({"device": "rtsp://camera/1"}, True),
        ({"device": "https://camera/1", "fps": 5}, True),
        ({"device": "rtsp://camera/1", "rotate": 90}, False),
        ({"device": "rtsp://camera/1", "region": {"bottom": 0.9}}, False),
        ({"device": "rtsp://camera/1", "masks": HIDING[0]["masks"]}, False),
        ({"device": "stream:yard"}, False),
        ({"device": 0}, False),
        ({"device": "/dev/video0"}, False),
        ({"device": "clip.mp4"}, False),
        (None, False),
    ],
)
def test_which_streams_keep_packets(camera: dict[str, object] | None, kept: bool) -> None:
    assert keeps_packets(StreamConfig.model_validate({"camera": camera})) is kept
