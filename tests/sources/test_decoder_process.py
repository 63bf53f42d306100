"""The process of a decoder: its pictures are those of the software, and each of its faults is an error in time."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pytest

from daemon.core.errors import ChildError
from daemon.sources.decoding.process import MAX_WITHOUT_PICTURE, DecoderProcess
from daemon.sources.decoding.ways import CODECS, V4L2M2M, Way
from tests.helpers.decoder_clips import PICTURES, packets

# decodes in a process, by FFmpeg's software decoder: for what does not depend on hardware
IN_A_PROCESS = Way("process", "*")


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


def test_a_decoder_that_gives_no_picture_is_a_fault(process: Callable[..., DecoderProcess]) -> None:
    hardware = process("h264")
    packet = av.Packet(b"\x00\x00\x00\x01\x65" + b"\xff" * 100)
    for _ in range(MAX_WITHOUT_PICTURE + 1):
        with pytest.raises(av.FFmpegError):
            hardware.decode(packet)
    with pytest.raises(ChildError, match="gives no picture for 25 packets"):
        hardware.decode(packet)
