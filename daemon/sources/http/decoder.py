"""Decodes single pictures as they come over the network: JPEG, PNG, WebP, GIF, BMP and TIFF."""

from typing import cast

import av

from daemon.core.errors import InputError

# No camera makes larger pictures. A small file could otherwise claim pixels for gigabytes of memory.
MAX_PIXELS = 8192 * 6144

# FFmpeg's decoder of each format, by the bytes with which a file begins.
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "mjpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
)

# The longest part of a file that `decoder_of` looks at.
SIGNATURE_BYTES = 16


def decoder_of(head: bytes) -> str | None:
    """Return the name of FFmpeg's decoder for a picture that begins with these bytes, None for no picture."""
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    # the four bytes after the size are reserved, and zero
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "bmp"
    return None


class PictureDecoder:
    """Decodes pictures one by one, in the calling thread."""

    def __init__(self) -> None:
        # a new decoder for each picture would cost a tenth more
        self._jpeg = _decoder("mjpeg")

    def decode(self, data: bytes) -> av.VideoFrame:
        """Return the picture. Raises InputError when it is damaged, too large or of an unknown format."""
        name = decoder_of(data[:SIGNATURE_BYTES])
        if name is None:
            raise InputError("not a picture that can be decoded")
        # the other decoders would blend a picture with the one before, as in an animation
        decoder = self._jpeg if name == "mjpeg" else _decoder(name)
        try:
            frames = decoder.decode(av.Packet(data))
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"a {name} picture cannot be decoded: {error}") from error
        if not frames or frames[0].is_corrupt:
            raise InputError(f"a {name} picture is damaged")
        return frames[0]


def _decoder(name: str) -> av.VideoCodecContext:
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    return decoder
