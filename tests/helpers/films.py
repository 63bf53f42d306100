"""Checks packets of a camera against what the source has decoded of them."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np

from daemon.core.media import MediaPacket
from daemon.core.timing import NS_PER_MS, NS_PER_S
from tests.helpers.recorded import Recorded

# Packets are observed when they come, and pictures when they are decoded. On a busy machine that may be later.
TOLERANCE_NS = 60 * NS_PER_MS


def of_kind(recorded: Recorded, kind: str) -> list[MediaPacket]:
    """Return the packets of pictures (`video`) or sound (`audio`)."""
    return [packet for packet in recorded.packets if packet.format.kind == kind]


def decoded(packets: Sequence[MediaPacket]) -> list[tuple[int, np.ndarray]]:
    """Decode one film, as it is kept, and return the presentation time and the content of each picture or sound."""
    codec = av.CodecContext.create(packets[0].format.codec, "r")
    if packets[0].format.extradata:
        codec.extradata = packets[0].format.extradata
    found: list[tuple[int, np.ndarray]] = []
    for each in packets:
        packet = av.Packet(each.data)
        packet.time_base = Fraction(1, NS_PER_S)
        packet.pts, packet.dts = each.pts_ns, each.dts_ns
        found += ((frame.pts or 0, frame.to_ndarray()) for frame in codec.decode(packet))
    return found + [(frame.pts or 0, frame.to_ndarray()) for frame in codec.decode(None)]


def check_film(packets: Sequence[MediaPacket]) -> None:
    """Assert that packets are one film: it begins at a key picture, in one format, and its times rise."""
    assert packets[0].is_key
    assert {id(packet.format) for packet in packets} == {id(packets[0].format)}
    decoding = [packet.dts_ns for packet in packets]
    assert all(later > earlier for earlier, later in pairwise(decoding))
    assert all(packet.pts_ns >= packet.dts_ns for packet in packets)


def check_times(recorded: Recorded, packets: Sequence[MediaPacket]) -> None:
    """Assert that each picture that was delivered has the time of the packet from which it comes."""
    at_ns = np.array([packet.captured_ns for packet in packets])
    first_ns = at_ns.min()
    compared = [frame.captured_ns for frame in recorded.frames if frame.captured_ns >= first_ns - TOLERANCE_NS]
    assert len(compared) >= len(recorded.frames) - 1
    assert max(abs(at_ns - captured_ns).min() for captured_ns in compared) < TOLERANCE_NS
