"""Decoding in hardware: what is tried, how it takes over from the software, and how the software takes over again."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from daemon.core.errors import ChildError
from daemon.core.records import Counters, DecoderSetting
from daemon.sources.decoding.clip import CLIPS, difference
from daemon.sources.decoding.decoder import CameraDecoder, Problems
from daemon.sources.decoding.layout import MAX_PIXELS, NOTHING, PICTURE, Answer, Request
from daemon.sources.decoding.process import DecoderProcess
from daemon.sources.decoding.ways import CODECS, DRM, V4L2M2M, Way, absence, ways_of
from tests.fakes.decoding import ScriptedStart

# decodes in a process, by FFmpeg's software decoder: for what does not depend on hardware
IN_A_PROCESS = Way("process", "*")

# of a clip: 12 pictures, of which those at 0 and 6 are key pictures
PICTURES, KEYS = 12, (0, 6)


def never(call: int) -> bool:
    return False


def at_third(call: int) -> bool:
    return call == 3


def packets(codec: str, times: int) -> Iterator[av.Packet]:
    """The packets of a clip, several times in turn, and the end of the stream. Their times go on."""
    for count in range(times):
        with av.open(str(CLIPS / f"{codec}.ts")) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packet.pts = packet.pts + count * PICTURES * 9000
                    yield packet
    yield av.Packet()


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
    # the hardware takes over at picture 18 and fails at its third packet: the four packets up to the next key picture
    # are lost, and one of a picture that the hardware had not given yet
    assert found[-1] == 4 * PICTURES - 1
    assert found == sorted(found)
    lost = sorted(set(range(4 * PICTURES)) - set(found))
    assert lost
    assert set(lost) <= set(range(18, 24))
    assert counters.dropped == {"decoder": 4}
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


def software(codec: str) -> dict[int, Any]:
    context = av.CodecContext.create(codec, "r")
    found = [each for packet in packets(codec, 1) for each in context.decode(packet if packet.size else None)]
    return {each.pts: each.to_ndarray() for each in found}


@pytest.fixture
def process() -> Iterator[Callable[..., DecoderProcess]]:
    made: list[DecoderProcess] = []

    def start(codec: str, answer_s: float = 20.0) -> DecoderProcess:
        made.append(DecoderProcess(codec, IN_A_PROCESS, None, answer_s))
        assert made[-1].is_ready(20.0)
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.mark.parametrize("codec", CODECS)
def test_a_process_gives_the_pictures_of_the_software(codec: str, process: Callable[..., DecoderProcess]) -> None:
    hardware = process(codec)
    found = [each for packet in packets(codec, 1) if packet.size for each in hardware.decode(packet)]
    found += hardware.finish()
    expected = software(codec)
    assert [each.pts for each in found] == sorted(expected)
    assert all(np.array_equal(each.to_ndarray(), expected[each.pts]) for each in found)
    assert found[0].time_base.denominator == 90_000
    # a further stream begins anew
    assert sum(len(hardware.decode(packet)) for packet in packets(codec, 1) if packet.size) >= PICTURES - 3


def test_a_damaged_packet_is_no_fault_of_the_process(process: Callable[..., DecoderProcess]) -> None:
    hardware = process("h264")
    packet = av.Packet(b"\x00\x00\x00\x01\x65" + b"\xff" * 100)
    with pytest.raises(av.FFmpegError):
        hardware.decode(packet)
    assert [each for one in packets("h264", 1) if one.size for each in hardware.decode(one)]


def test_a_process_that_dies_or_hangs_is_a_fault(process: Callable[..., DecoderProcess]) -> None:
    first = next(packets("h264", 1))
    dead, hung = process("h264"), process("h264", 0.1)
    os.kill(dead.pid, signal.SIGKILL)
    with pytest.raises(ChildError, match="SIGKILL"):
        dead.decode(first)
    os.kill(hung.pid, signal.SIGSTOP)
    with pytest.raises(ChildError, match=r"gave no answer within 0\.1 s"):
        hung.decode(first)


def test_hardware_that_is_not_here_says_so() -> None:
    made = DecoderProcess("h264", V4L2M2M, None)
    try:
        with pytest.raises(ChildError, match=r"h264_v4l2m2m cannot be opened|differs|of the 12 pictures"):
            made.is_ready(20.0)
    finally:
        made.close()
