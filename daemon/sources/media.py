"""Makes packets of a camera, as FFmpeg's demuxers give them, to those that the history keeps."""

from typing import cast

import av

from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.timing import NS_PER_S
from daemon.sources.container import Packet, has_decoder, ticks_ns

# FFmpeg's names of what clips may hold as it is. What a camera sends in other codecs is coded by the node.
KEPT_CODECS = frozenset({"h264", "hevc", "mjpeg", "mpeg4", "aac"})

# The clock of a camera has jumped where the offset of its times to this machine's clock changes by more.
JUMP_NS = NS_PER_S

# before a parameter set of H.264 and H.265
START_CODES = (b"\0\0\1", b"\0\0\0\1")

# what a packet of AAC holds, where FFmpeg does not say it
AAC_SAMPLES = 1024


def is_kept(stream: "av.stream.Stream") -> bool:
    """Return whether packets of this stream may be kept as they are."""
    return has_decoder(stream) and stream.codec_context.codec.canonical_name in KEPT_CODECS


def jpeg_packet(data: bytes, width: int, height: int, captured_ns: int, known: MediaFormat | None) -> MediaPacket:
    """Return a JPEG that a camera has sent without a time, in the `known` format if that fits."""
    if known is None or (known.width, known.height) != (width, height):
        known = MediaFormat("video", "mjpeg", width=width, height=height)
    return MediaPacket(known, data, captured_ns, captured_ns, captured_ns, is_key=True)


def duration_ns(packet: Packet) -> int:
    """Return how long the sound of a packet of AAC lasts, or a picture; 0 where it is not known."""
    if packet.duration:
        return ticks_ns(packet.duration, packet.time_base) or 0
    if packet.stream.type != "audio":
        return 0
    context = cast(av.AudioCodecContext, packet.stream.codec_context)
    return (context.frame_size or AAC_SAMPLES) * NS_PER_S // context.sample_rate if context.sample_rate else 0


class MediaTrack:
    """Makes the packets of one stream. They have one format for as long as they can be one film."""

    def __init__(self) -> None:
        self._format: MediaFormat | None = None
        self._offset_ns = 0
        self._dts_ns = 0

    def restart(self) -> None:
        """Begin a new film with the next packet."""
        self._format = None

    def packet(self, packet: Packet, pts_ns: int, dts_ns: int, offset_ns: int) -> MediaPacket:
        """Return a packet with these times. `offset_ns` is that of the camera's clock to this machine's."""
        is_key = packet.is_keyframe or packet.stream.type == "audio"
        known = self._format
        if known is None or abs(offset_ns - self._offset_ns) > JUMP_NS:
            known = _format_of(packet)
        elif is_key and known != (now := _format_of(packet)):
            known = now
        if known is self._format:
            dts_ns = max(dts_ns, self._dts_ns + 1)
        self._format, self._offset_ns, self._dts_ns = known, offset_ns, dts_ns
        pts_ns = max(pts_ns, dts_ns)
        return MediaPacket(known, bytes(packet), pts_ns, dts_ns, pts_ns + offset_ns, is_key)


def _format_of(packet: Packet) -> MediaFormat:
    context = packet.stream.codec_context
    codec, extradata = context.codec.canonical_name, context.extradata or None
    if extradata and extradata.startswith(START_CODES):
        # FFmpeg takes them out of the first packet, of some segments with the zeros before the next start code
        extradata = extradata.rstrip(b"\0")
    if isinstance(context, av.VideoCodecContext):
        return MediaFormat("video", codec, extradata, context.width, context.height)
    sound = cast(av.AudioCodecContext, context)
    return MediaFormat(
        "audio", codec, extradata, sample_rate_hz=sound.sample_rate or 0, channels=sound.layout.nb_channels
    )
