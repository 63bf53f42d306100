"""Makes a long MP4 recording from a short one by repeating its packets at later times, without encoding again."""

import math
from fractions import Fraction
from pathlib import Path

import av


def write_repeated(source: Path, target: Path, seconds: float) -> float:
    """Write complete passes of a source with AAC until they last `seconds`; returns the length in seconds."""
    with av.open(str(source)) as given, av.open(str(target), "w") as written:
        sound = given.streams.audio[0].codec_context
        # The last frame of sound is decoded completely, although the file states an earlier end.
        frame_s = Fraction(sound.frame_size, sound.sample_rate)
        length_s = frame_s * math.ceil(Fraction(given.duration, av.time_base) / frame_s)
        streams = [written.add_stream_from_template(stream) for stream in given.streams]
        passes = math.ceil(seconds / length_s)
        for number in range(passes):
            given.seek(0)
            _write_pass(given, written, streams, number * length_s)
    return float(passes * length_s)


def _write_pass(
    given: "av.container.InputContainer",
    written: "av.container.OutputContainer",
    streams: list["av.stream.Stream"],
    begins_s: Fraction,
) -> None:
    for packet in given.demux():
        # Packets before time 0 only prime the audio decoder. In later passes it is already primed.
        if packet.dts is None or (begins_s and packet.pts < 0):
            continue
        shift = round(begins_s / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = streams[packet.stream.index]
        written.mux(packet)
