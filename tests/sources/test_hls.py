"""HLS cameras against a real server on loopback."""

import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from daemon.config.streams import PictureConfig
from daemon.core.errors import SourceError
from daemon.core.records import MODALITIES, Counters, Modality
from daemon.core.timing import NS_PER_S
from daemon.sources.hls.segment import SegmentDecoder
from daemon.sources.picture import PicturePreparation
from tests.helpers.hls import FPS, TONE_HZ, Content, Fault, HlsServer, content, number_of
from tests.helpers.mosquitto import wait_until
from tests.helpers.recorded import RATE_HZ
from tests.helpers.ts_camera import ts_parts
from tests.sources.hls_player import Played, pictures, supervised

# of a content of the default
SEGMENT_PICTURES = FPS // 4


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_segments_are_one_stream_without_gap(kind: str) -> None:
    with HlsServer(content(kind)).serving() as server:
        played = Played().until(f"{server.url}/live.m3u8", pictures(25))
    assert_consecutive(played.numbers)
    assert [number for number, block in enumerate(played.blocks) if block.gap] == [0]
    distances_ns = np.diff([block.start_ns for block in played.blocks])
    assert abs(distances_ns - NS_PER_S // 50).max() < NS_PER_S // 1000, "stamps are corrected little by little"
    samples = np.concatenate([block.samples for block in played.blocks])
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * RATE_HZ / len(samples) == pytest.approx(TONE_HZ, abs=3)
    assert not played.counters["image"].dropped
    assert not played.counters["audio"].dropped


def test_fps_leaves_out_pictures_and_counts_them() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    decoder = SegmentDecoder(counters, PicturePreparation(PictureConfig()), None, 0, fps=FPS / 5)
    frames = [item for data in content(segments=4).segments for item in decoder.items(data, 0)]
    frames += decoder.finish()
    decoder.close()
    assert len(frames) == 4 * SEGMENT_PICTURES // 5
    assert counters["image"].left_out == 4 * SEGMENT_PICTURES - len(frames)


def test_pictures_before_the_first_key_picture_are_not_damaged() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    decoder = SegmentDecoder(counters, PicturePreparation(PictureConfig()), None, 0, None)
    parts = ts_parts(60, Fraction(10), 30)
    frames = [item for part in (parts[5:20], parts[20:40], parts[40:]) for item in decoder.items(b"".join(part), 0)]
    frames += decoder.finish()
    decoder.close()
    assert len(frames) == 30
    assert not counters["image"].dropped


@pytest.mark.alone
def test_items_come_at_the_pace_of_their_times_with_the_time_of_their_capture() -> None:
    with HlsServer(content(segment_s=0.5, segments=8)).serving() as server:
        played = Played().until(f"{server.url}/live.m3u8", pictures(50))
        errors_s = [frame.captured_ns / NS_PER_S - server.began_s - number_of(frame) / FPS for frame in played.frames]
    assert min(errors_s) >= -0.001, "no picture is stamped before its capture"
    assert max(errors_s) < 0.25, "the playlist is loaded every 0.1 s"
    ages_s = [(at - frame.captured_ns) / NS_PER_S for at, frame in zip(played.at_ns, played.frames, strict=True)]
    assert min(ages_s) > 0.5
    assert max(ages_s) < 1.3, "a segment, its download and a margin"
    assert np.diff(played.at_ns).max() < 0.2 * NS_PER_S, "no burst and no pause"


def assert_consecutive(numbers: list[int]) -> None:
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "no picture is lost, none comes twice"


def test_an_unstable_server_costs_nothing() -> None:
    played = Played()
    with (
        HlsServer(content(segments=40), window=12).serving() as server,
        supervised(played, f"{server.url}/live.m3u8") as source,
    ):
        played.wait_for(pictures(5))
        for fault in (Fault(cuts_segments=True), Fault(playlist=503), Fault(404, 404)):
            server.fault = fault
            time.sleep(0.4)
            server.fault = Fault()
            time.sleep(0.2)
        newest = server.appeared * SEGMENT_PICTURES
        played.wait_for(lambda played: played.numbers[-1] >= newest - 3)
    assert_consecutive(played.numbers)
    assert not source.status.failures, "such breaks are shorter than what is patiently waited"
    assert "missed_segment" not in played.counters["image"].dropped


def test_a_segment_that_is_missing_for_good_is_left_out() -> None:
    with HlsServer(content(segments=20)).serving() as server:
        server.files["seg4.ts"] = b"damaged"
        played = Played().until(f"{server.url}/live.m3u8", pictures(20))
    missing = set(range(played.numbers[0], played.numbers[-1] + 1)) - set(played.numbers)
    assert missing == set(range(4 * SEGMENT_PICTURES, 5 * SEGMENT_PICTURES))
    assert played.counters["image"].dropped["missed_segment"] == 1
    assert sum(block.gap for block in played.blocks) == 2


def test_after_a_long_break_it_goes_on_where_it_was() -> None:
    played = Played()
    with (
        HlsServer(content(segments=40), window=20).serving() as server,
        supervised(played, f"{server.url}/live.m3u8") as source,
    ):
        played.wait_for(pictures(5))
        server.fault = Fault(playlist=503, segments=503)
        wait_until(lambda: source.status.failures > 0, "the source fails")
        assert source.status.reason is not None
        assert "the playlist cannot be fetched: status 503" in source.status.reason
        server.fault = Fault()
        newest = server.appeared * SEGMENT_PICTURES
        played.wait_for(lambda played: played.numbers[-1] >= newest - 3)
    assert_consecutive(played.numbers)
    offsets_s = [frame.captured_ns / NS_PER_S - number_of(frame) / FPS for frame in played.frames]
    assert max(offsets_s) - min(offsets_s) < 0.3, "what waited keeps the time of its capture"


@pytest.mark.parametrize(("kind", "dated"), [("mpegts", False), ("fmp4", True)])
def test_a_server_that_begins_anew_costs_at_most_one_segment(kind: str, dated: bool) -> None:
    played = Played()
    with (
        HlsServer(content(kind, segments=40), dated=dated).serving() as server,
        supervised(played, f"{server.url}/live.m3u8"),
    ):
        played.wait_for(pictures(20))
        last = server.appeared * SEGMENT_PICTURES
        server.restart(content(kind, first=500), ahead=0)
        played.wait_for(lambda played: played.numbers[-1] >= 515)
    old = [number for number in played.numbers if number < 500]
    new = [number for number in played.numbers if number >= 500]
    assert_consecutive(old)
    assert_consecutive(new)
    assert old[-1] >= last - 1 - 2 * SEGMENT_PICTURES, "one segment, and one that nobody had announced"
    assert new[0] == 500
    assert np.diff([frame.captured_ns for frame in played.frames]).min() >= 0
    assert np.diff([block.start_ns for block in played.blocks]).min() > 0


def test_a_recording_is_played_once_from_its_begin() -> None:
    with HlsServer(content(segments=3)).serving() as server:
        played = Played()
        camera = played.camera(f"{server.url}/vod.m3u8")
        for _ in range(2):
            with pytest.raises(SourceError, match=r"^http://127\.0\.0\.1:\d+: the stream has ended$"):
                camera.run(played.take, threading.Event())
    assert played.numbers == list(range(15))
    assert sum(block.gap for block in played.blocks) == 1
    assert len(played.blocks) >= 36


def parts_of(name: str, source: Content) -> dict[str, str | bytes]:
    return {f"{name}{number}.ts": segment for number, segment in enumerate(source.segments)}


def test_a_discontinuity_begins_new_times_that_follow_the_old() -> None:
    first, second = content(segments=2), content(segments=2, first=500)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:0.25,", "a0.ts", "#EXTINF:0.25,", "a1.ts"]
    lines += ["#EXT-X-DISCONTINUITY", "#EXTINF:0.25,", "b0.ts", "#EXTINF:0.25,", "b1.ts", "#EXT-X-ENDLIST"]
    files = {**parts_of("a", first), **parts_of("b", second), "list.m3u8": "\n".join(lines)}
    with HlsServer(first, files=files).serving() as server:
        played = Played()
        with pytest.raises(SourceError, match="the stream has ended"):
            played.until(f"{server.url}/list.m3u8", lambda played: False)
    assert played.numbers == [*range(10), *range(500, 510)]
    distances_s = np.diff([frame.captured_ns for frame in played.frames]) / NS_PER_S
    assert distances_s.min() >= 0
    assert distances_s.max() < 0.3
    assert sum(block.gap for block in played.blocks) == 2


def test_byte_ranges_of_one_file_are_segments() -> None:
    made = content(segments=2)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"]
    for segment in made.segments:
        start = "@0" if segment is made.segments[0] else ""
        lines += ["#EXTINF:0.25,", f"#EXT-X-BYTERANGE:{len(segment)}{start}", "all.ts"]
    files: dict[str, str | bytes] = {"all.ts": b"".join(made.segments), "l.m3u8": "\n".join([*lines, "#EXT-X-ENDLIST"])}
    with HlsServer(made, files=files).serving() as server:
        played = Played()
        with pytest.raises(SourceError, match="the stream has ended"):
            played.until(f"{server.url}/l.m3u8", lambda played: False)
    assert played.numbers == list(range(10))


def test_the_login_goes_to_the_server_of_the_playlist_alone() -> None:
    made = content(segments=2)
    with HlsServer(made).serving() as other, HlsServer(made, login=("viewer", "s3 cret")).serving() as server:
        server.files["master.m3u8"] = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=80x48\nlist.m3u8?token=t0ken\n"
        server.files["list.m3u8"] = (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.25,\n{server.url}/seg0.ts\n"
            f"#EXTINF:0.25,\nhttp://localhost:{other.port}/seg1.ts\n#EXT-X-ENDLIST\n"
        )
        played = Played()
        with pytest.raises(SourceError, match="the stream has ended"):
            played.until(f"http://viewer:s3%20cret@127.0.0.1:{server.port}/master.m3u8", lambda played: False)
        assert "/list.m3u8?token=t0ken" in server.requests
        assert played.numbers == list(range(10))
        assert other.requests == ["/seg1.ts"]
        assert other.authorizations == [None]


def test_a_redirect_is_followed_once_and_leads_to_the_segments_too() -> None:
    made = content()
    with HlsServer(made).serving() as other, HlsServer(made).serving() as server:
        server.redirects["/list.m3u8"] = f"http://localhost:{other.port}/live.m3u8?token=1"
        played = Played().until(f"http://viewer:s3cret@127.0.0.1:{server.port}/list.m3u8", pictures(8))
        assert_consecutive(played.numbers)
        assert server.requests == ["/list.m3u8"]
        assert set(other.authorizations) == {None}


def test_a_stop_leaves_no_thread() -> None:
    with HlsServer(content()).serving() as server:
        Played().until(f"{server.url}/live.m3u8", pictures(3))
    assert not [thread for thread in threading.enumerate() if thread.name == "hls-segments"]
