"""Decoding in hardware: what is tried, how it takes over from the software, and how the software takes over again."""

from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest

from daemon.config.streams import PictureConfig, StreamConfig
from daemon.core.errors import ChildError
from daemon.core.media import DecoderSetting, DecoderStatus
from daemon.core.records import MODALITIES, Captured, Counters, Modality
from daemon.node.health import source_health
from daemon.runtime.child_main import Failed
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.decoding.clip import CLIPS, difference
from daemon.sources.decoding.context import HardwareContext
from daemon.sources.decoding.decoder import CameraDecoder, Problems
from daemon.sources.decoding.layout import MAX_PIXELS, NOTHING, PICTURE, Answer, Request
from daemon.sources.decoding.ways import CODECS, DRM, V4L2M2M, Way, absence, ways_of
from daemon.sources.factory import build_sources
from daemon.sources.files.replay import Recording, ReplaySource
from daemon.sources.picture import PicturePreparation
from tests.fakes.decoding import ScriptedStart
from tests.fakes.sources import ScriptedSource
from tests.helpers.decoder_clips import PICTURES, packets


def never(call: int) -> bool:
    return False


def at_third(call: int) -> bool:
    return call == 3


def decoder(
    codec: str, start: ScriptedStart | None, setting: DecoderSetting = "auto", problems: Problems | None = None
) -> tuple[CameraDecoder, Counters]:
    counters = Counters()
    made = CameraDecoder(setting, counters, start, Problems() if problems is None else problems)
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    made.begin(context)
    return made, counters


def decoded(made: CameraDecoder, codec: str, times: int) -> list[int]:
    """The presentation times of the pictures, as numbers from 0."""
    found = [picture.pts for packet in packets(codec, times) for picture in made.decode(packet)]
    return [(pts - 18000) // 9000 for pts in found if pts is not None]


def test_drm_that_cannot_be_opened_says_what_a_service_needs() -> None:
    with pytest.raises(
        Failed, match=r"^hevc cannot be opened: by drm: .*; the service needs more devices for it: docs/"
    ):
        HardwareContext("hevc", DRM, None)
    assert V4L2M2M.hint is None


@pytest.mark.parametrize(
    ("setting", "names"),
    [("software", []), ("auto", ["v4l2m2m", "drm"]), ("v4l2m2m", ["v4l2m2m"]), ("drm", ["drm"])],
)
def test_a_setting_allows_ways(setting: DecoderSetting, names: list[str]) -> None:
    assert [way.name for way in ways_of(setting)] == names


@pytest.mark.parametrize(
    ("way", "node", "problem"),
    [
        (V4L2M2M, None, "this machine has no V4L2 device (/sys/class/video4linux/video*)"),
        (V4L2M2M, "sys/class/video4linux/video10", None),
        (DRM, None, "this machine has no DRM device (/dev/dri/*)"),
        (DRM, "dev/dri/card0", "this build of FFmpeg decodes no h264 by drm"),
        (Way("other", "*", suffix="_other"), "dev", "this build of FFmpeg has no h264_other"),
    ],
)
def test_what_cannot_be_there_is_not_tried(way: Way, node: str | None, problem: str | None, tmp_path: Path) -> None:
    if node is not None:
        (tmp_path / node).mkdir(parents=True)
    assert absence("h264", way, tmp_path) == problem


def picture(level: int) -> Any:
    return np.full((6, 4), level, np.uint8)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([picture(100), picture(200)], None),
        ([picture(101), picture(200)], None),
        ([picture(100)], "it gives 1 of the 2 pictures of the clip"),
        ([picture(100), picture(203)], "its picture 1 differs by 3.0 levels from that of the software"),
        ([picture(100), picture(0)], "its picture 1 differs by 200.0 levels from that of the software"),
        ([picture(100), picture(200)[:3]], "its picture 1 has the shape (3, 4), expected (6, 4)"),
    ],
)
def test_pictures_must_agree_with_those_of_the_software(found: list[Any], problem: str | None) -> None:
    assert difference([picture(100), picture(200)], found) == problem


def test_headers_come_back_as_they_were() -> None:
    request, answer = Request(0, 100, 7, True), Answer(PICTURE, 7, 336, 200, 1, 2, 1)
    assert Request.unpacked(memoryview(request.packed())) == request
    assert Answer.unpacked(memoryview(answer.packed())) == answer


@pytest.mark.parametrize(
    ("answer", "is_valid"),
    [
        (Answer(PICTURE, 1, 336, 200), True),
        (Answer(PICTURE, 1, 0, 200), False),
        (Answer(PICTURE, 1, -336, -200), False),
        (Answer(PICTURE, 1, 335, 200), False),
        (Answer(PICTURE, 1, MAX_PIXELS, 2), False),
        (Answer(PICTURE, 1, 336, 200, format=2), False),
        (Answer(NOTHING), False),
    ],
)
def test_a_picture_of_another_process_is_checked(answer: Answer, is_valid: bool) -> None:
    assert answer.is_valid == is_valid


@pytest.mark.parametrize("codec", CODECS)
def test_the_hardware_takes_over_at_a_key_picture_and_no_picture_is_lost(codec: str) -> None:
    start = ScriptedStart(fails_at=never)
    made, counters = decoder(codec, start)
    assert decoded(made, codec, 3) == list(range(3 * PICTURES))
    ((name, hardware),) = start.started
    assert made.status is not None
    assert (name, made.status.name, made.status.reason, made.status.failures) == ("v4l2m2m", "v4l2m2m", None, 0)
    # the first key packet that begins with a picture seen starts it, the next one finds it not ready
    assert hardware.calls == 3 * PICTURES - 18
    assert not counters.dropped
    made.close()
    assert hardware.is_closed


def test_the_software_goes_on_at_the_next_key_picture_after_a_failure() -> None:
    start = ScriptedStart(fails_at=at_third)
    made, counters = decoder("h264", start)
    found = decoded(made, "h264", 4)
    # the hardware takes over at picture 18 and fails at its third packet: lost are the pictures that it had not given
    # yet, and those up to the next key picture
    assert found[-1] == 4 * PICTURES - 1
    assert found == sorted(found)
    lost = sorted(set(range(4 * PICTURES)) - set(found))
    assert lost
    assert set(lost) <= set(range(18, 24))
    assert counters.dropped == {"decoder": len(lost)}
    assert made.status is not None
    assert made.status.name == "software"
    assert made.status.failures == 1
    assert made.status.reason == "v4l2m2m failed: its process was ended by SIGSEGV"
    assert len(start.started) == 1, "a decoder that failed is not started again"
    assert start.started[0][1].is_closed


def test_a_failure_stays_known_when_the_stream_begins_again() -> None:
    start = ScriptedStart(fails_at=at_third)
    made, _ = decoder("h264", start)
    decoded(made, "h264", 3)
    made.begin(av.CodecContext.create("h264", "r"))
    assert decoded(made, "h264", 3) == list(range(3 * PICTURES))
    assert len(start.started) == 1
    assert made.status is not None
    assert made.status.failures == 1


def test_a_failure_at_the_end_of_the_stream_falls_back() -> None:
    start = ScriptedStart(fails_at=never)
    made, _ = decoder("h264", start)
    for packet in list(packets("h264", 2))[:-1]:
        made.decode(packet)
    start.started[0][1].finish = broken_finish  # type: ignore[method-assign]
    assert made.finish() == []
    assert made.status is not None
    assert made.status.reason == "v4l2m2m failed: hangs"


def broken_finish() -> list[av.VideoFrame]:
    raise ChildError("hangs")


def test_the_ways_are_tried_in_turn_and_all_cameras_know_what_failed() -> None:
    start, problems = ScriptedStart(absent=("drm",), refused=("v4l2m2m",), fails_at=never), Problems()
    made, counters = decoder("h264", start, problems=problems)
    assert decoded(made, "h264", 3) == list(range(3 * PICTURES))
    expected = "v4l2m2m: its picture 0 differs by 90.0 levels from that of the software; drm: there is none"
    assert made.status is not None
    assert (made.status.name, made.status.reason, made.status.failures) == ("software", expected, 0)
    assert not counters.dropped
    other, _ = decoder("h264", start, problems=problems)
    assert other.status is not None
    assert other.status.reason == expected
    assert decoded(other, "h264", 3) == list(range(3 * PICTURES))
    assert len(start.started) == 1
    of_other_codec, _ = decoder("hevc", start, problems=problems)
    assert of_other_codec.status is not None
    assert of_other_codec.status.reason is None


def test_other_codecs_are_decoded_in_software() -> None:
    start = ScriptedStart(fails_at=never)
    made, _ = decoder("mpeg4", start)
    assert made.status is not None
    assert made.status.reason == "mpeg4 is decoded in software alone"


def test_without_hardware_the_software_decodes() -> None:
    made, counters = decoder("h264", None)
    assert decoded(made, "h264", 3) == list(range(3 * PICTURES))
    assert made.status is not None
    assert made.status.name == "software"
    assert not counters.dropped


def test_the_software_is_the_default_and_has_no_reason() -> None:
    made, _ = decoder("h264", None, "software")
    assert decoded(made, "h264", 1) == list(range(PICTURES))
    assert made.status is not None
    assert (made.status.name, made.status.codec, made.status.reason) == ("software", "h264", None)


@pytest.mark.parametrize(("at_once", "setting"), [(False, "auto"), (True, "software")])
def test_a_file_that_is_played_as_fast_as_possible_is_decoded_in_software(at_once: bool, setting: str) -> None:
    stream = StreamConfig.model_validate({"camera": {"device": "clip.ts", "decoder": "auto"}})
    source = build_sources(stream, sample_rate_hz=None, picture=True, counters={}, at_once=at_once)["camera"]
    assert isinstance(source, ReplaySource)
    assert source.decoding == setting


def test_a_file_is_played_whole_and_says_what_decodes() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    recording = Recording(CLIPS / "h264.ts", picture=PicturePreparation(PictureConfig()))
    source = ReplaySource(recording, False, False, counters, "auto")
    assert source.decoder is None
    frames: list[Captured] = []
    source.run(frames.append, Event())
    assert len(frames) == PICTURES
    assert source.decoder is not None
    assert (source.decoder.name, source.decoder.codec) == ("software", "h264")
    if not Path("/sys/class/video4linux").is_dir():
        assert (source.decoder.reason or "").startswith("v4l2m2m: this machine has no V4L2 device")


def test_health_says_what_decodes() -> None:
    source = ScriptedSource()
    source.decoder = DecoderStatus("software", "h264", 1, "v4l2m2m failed: its process was ended by SIGSEGV")
    supervised = SupervisedSource("camera", source, lambda captured: None, on_change=lambda: None)
    told = source_health(supervised).model_dump()["decoder"]
    assert told == {
        "name": "software",
        "codec": "h264",
        "failures": 1,
        "reason": "v4l2m2m failed: its process was ended by SIGSEGV",
    }
