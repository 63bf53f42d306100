"""Packets of FFmpeg's demuxers become those of the history: their times, and how long they are one film."""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.container import InputContainer

from daemon.core.media import MediaPacket
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.container import Packet, ticks_ns
from daemon.sources.hls.packets import SegmentPackets
from daemon.sources.media import MediaTrack
from daemon.sources.network.packets import StreamPackets
from tests.helpers.films import check_film
from tests.helpers.hls import content

FPS = 20
FRAME_NS = NS_PER_S // FPS
ARRIVED_NS = 5000 * NS_PER_S


def clip(codec: str = "libx264", *, width: int = 64, pictures: int = 20, sound: str = "aac") -> InputContainer:
    """Return a film in memory, with a key picture at its begin only. Of H.264, pictures refer to later ones."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska" if codec == "libvpx" else "mp4") as container:
        video = container.add_stream(codec, rate=FPS)
        video.width, video.height, video.pix_fmt = width, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.options = {"bf": "2", "g": "250"} if codec == "libx264" else {}
        audio = container.add_stream(sound, rate=16_000)
        audio.layout = "mono"
        for number in range(pictures):
            shade = np.full((48, width, 3), 10 * number % 250, np.uint8)
            picture = av.VideoFrame.from_ndarray(shade, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(picture))
            samples = np.zeros((1, 16_000 // FPS), np.int16)
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 16_000, number * 16_000 // FPS, Fraction(1, 16_000)
            container.mux(audio.encode(heard))
        container.mux(video.encode())
        container.mux(audio.encode())
    return av.open(io.BytesIO(memory.getvalue()))


def packets_of(container: InputContainer, kind: str = "video") -> Iterator[Packet]:
    streams = container.streams.video if kind == "video" else container.streams.audio
    return (packet for packet in container.demux(streams[0]) if packet.size)


def dts_of(packet: Packet) -> int:
    at_ns = ticks_ns(packet.dts, packet.time_base)
    assert at_ns is not None
    return at_ns


def arrive(packets: Iterator[Packet], into: StreamPackets) -> None:
    """Hand on packets that arrive in time."""
    for number, packet in enumerate(packets):
        into.hand_on(packet, ARRIVED_NS + number * FRAME_NS)


def test_the_first_pictures_without_a_time_are_handed_on_before_the_first_with_one() -> None:
    kept: list[MediaPacket] = []
    into = StreamPackets(kept.append, has_time=True)
    first, second, third, *_ = packets_of(clip("mjpeg"))
    for number, packet in enumerate((first, second, third)):
        if number < 2:
            packet.pts = packet.dts = None
        into.hand_on(packet, ARRIVED_NS + number * FRAME_NS)
        assert len(kept) == (0 if number < 2 else 3)
    check_film(kept)
    assert [each.data for each in kept] == [bytes(packet) for packet in (first, second, third)]
    assert np.diff([each.captured_ns for each in kept]).tolist() == [FRAME_NS, FRAME_NS]
    assert kept[-1].captured_ns == ARRIVED_NS + 2 * FRAME_NS


def test_pictures_without_a_time_later_on_are_left_out() -> None:
    kept: list[MediaPacket] = []
    into = StreamPackets(kept.append, has_time=True)
    for number, packet in enumerate(packets_of(clip("mjpeg", pictures=4))):
        if number == 2:
            packet.pts = packet.dts = None
        into.hand_on(packet, ARRIVED_NS + number * FRAME_NS)
    assert len(kept) == 3


def test_pictures_that_are_shown_in_another_order_keep_it() -> None:
    kept: list[MediaPacket] = []
    arrive(packets_of(clip()), StreamPackets(kept.append, has_time=True))
    check_film(kept)
    assert [each.is_key for each in kept] == [True] + [False] * 19
    shown = [each.pts_ns for each in kept]
    assert shown != sorted(shown)
    assert len(set(shown)) == 20
    # a picture is decoded, and so gets its time, when it is shown
    assert kept[0].captured_ns == pytest.approx(ARRIVED_NS + kept[0].pts_ns - kept[0].dts_ns, abs=NS_PER_MS)


def test_a_camera_whose_clock_jumps_begins_a_new_film() -> None:
    for jump_s in (3600, -3600):
        kept: list[MediaPacket] = []
        into = StreamPackets(kept.append, has_time=True)
        for number, packet in enumerate(packets_of(clip("mjpeg"))):
            later = round((7200 + (jump_s if number >= 10 else 0)) / (packet.time_base or 1))
            packet.pts = packet.dts = (packet.pts or 0) + later
            into.hand_on(packet, ARRIVED_NS + number * FRAME_NS)
        check_film(kept[:10])
        check_film(kept[10:])
        assert kept[9].format is not kept[10].format
        assert kept[9].format == kept[10].format
        captured = np.diff([each.captured_ns for each in kept])
        assert captured.min() > 0
        assert captured.max() < 2 * FRAME_NS


def test_sound_and_picture_have_one_clock() -> None:
    kept: list[MediaPacket] = []
    into = StreamPackets(kept.append, has_time=True)
    for packet in clip().demux():
        if packet.size:
            # picture arrives when it is decoded, sound when it ends
            lasts_ns = 64 * NS_PER_MS if packet.stream.type == "audio" else 0
            into.hand_on(packet, ARRIVED_NS + dts_of(packet) + lasts_ns)
    assert {each.format.codec for each in kept} == {"h264", "aac"}
    offsets = {each.captured_ns - each.pts_ns for each in kept}
    assert max(offsets) - min(offsets) < 2 * NS_PER_MS
    (form,) = {each.format for each in kept if each.format.kind == "audio"}
    assert (form.sample_rate_hz, form.channels, form.extradata is not None) == (16_000, 1, True)
    assert all(each.is_key for each in kept if each.format is form)


def test_pictures_whose_times_are_made_up_have_the_time_of_their_arrival() -> None:
    kept: list[MediaPacket] = []
    arrive(packets_of(clip("mjpeg", pictures=3)), StreamPackets(kept.append, has_time=False))
    assert [each.captured_ns for each in kept] == [ARRIVED_NS + number * FRAME_NS for number in range(3)]


@pytest.mark.parametrize(("codec", "sound", "kind"), [("libvpx", "aac", "video"), ("mjpeg", "libopus", "audio")])
def test_a_codec_that_no_clip_holds_is_left_out(codec: str, sound: str, kind: str) -> None:
    kept: list[MediaPacket] = []
    arrive(packets_of(clip(codec, sound=sound), kind), StreamPackets(kept.append, has_time=True))
    assert kept == []


def test_pictures_of_another_size_begin_a_new_film() -> None:
    track, kept = MediaTrack(), list[MediaPacket]()
    small, large = clip(), clip(width=128)
    for number, packet in enumerate((*packets_of(small), *packets_of(large))):
        kept.append(track.packet(packet, number * FRAME_NS, number * FRAME_NS, 0))
    check_film(kept[:20])
    check_film(kept[20:])
    assert [each.format.width for each in (kept[19], kept[20])] == [64, 128]


def test_times_of_decoding_rise_whatever_the_camera_says() -> None:
    track = MediaTrack()
    packet = next(packets_of(clip("mjpeg")))
    kept = [track.packet(packet, at_ns, at_ns, 0) for at_ns in (100, 100, 50, 200)]
    check_film(kept)
    assert [each.dts_ns for each in kept] == [100, 101, 102, 200]


def test_segments_are_one_film_until_the_stream_begins_anew() -> None:
    found = SegmentPackets("video", "audio")
    first, second, third, *_ = content().segments
    films = [[packet for _, packet in found.items(data, 0)] for data in (first, second)]
    check_film([packet for film in films for packet in film if packet.format.kind == "video"])
    found.restart()
    again = [packet for _, packet in found.items(third, 0)]
    for kind in ("video", "audio"):
        before, after = (
            next(packet.format for packet in film if packet.format.kind == kind) for film in (films[0], again)
        )
        assert before == after
        assert before is not after


def test_a_segment_that_cannot_be_read_gives_what_can_be_read() -> None:
    found = SegmentPackets("video", "audio")
    data = content().segments[0]
    assert list(found.items(b"no segment", 0)) == []
    half, whole = (list(found.items(part, 0)) for part in (data[: len(data) // 2], data))
    assert 0 < len(half) < len(whole)


def test_times_that_have_wrapped_go_on() -> None:
    data = content().segments[0]
    plain, wrapped = (list(SegmentPackets("video").items(data, turns)) for turns in (0, 1))
    assert {later - at for (later, _), (at, _) in zip(wrapped, plain, strict=True)} == {(2**33) * NS_PER_S // 90_000}
