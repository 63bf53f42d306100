"""The clips by which a decoder of the hardware proves itself."""

from collections.abc import Iterator

import av

from daemon.sources.decoding.clip import CLIPS

# of a clip, of which the first and the seventh are key pictures
PICTURES = 12


def packets(codec: str, times: int) -> Iterator[av.Packet]:
    """The packets of a clip, several times in turn, and the end of the stream. Their times go on."""
    for count in range(times):
        with av.open(str(CLIPS / f"{codec}.ts")) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packet.pts = packet.pts + count * PICTURES * 9000
                    yield packet
    yield av.Packet()
