"""Tells what an http URL of a camera gives, and whether a picture can be asked for by its validator; without I/O."""

import re
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from daemon.sources.http.decoder import SIGNATURE_BYTES, decoder_of
from daemon.sources.http.jpeg import START

# multipart: pictures in parts; jpeg: JPEG pictures one after the other, or a single one; picture: one of another
# format; playlist: HLS; other: for FFmpeg
Content = Literal["multipart", "jpeg", "picture", "playlist", "other"]

# The bytes that `content_of` looks at, with some for line ends before a boundary.
HEAD_BYTES = SIGNATURE_BYTES + 8

PLAYLIST_TYPES = frozenset(
    {"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"}
)
PLAYLIST_START = b"#EXTM3U"
PLAYLIST_SUFFIX = ".m3u8"

JPEG_TYPES = frozenset({"image/jpeg", "image/jpg", "image/pjpeg", "video/x-motion-jpeg", "video/x-mjpeg"})

# A value from the camera is sent back only if it is short and printable.
VALIDATOR = re.compile(r"[\x20-\x7e]{1,256}")


def content_of(content_type: str, path: str, head: bytes) -> Content:
    """Return what a response contains.

    `content_type` is in lower case, without parameters; it may be empty or wrong. `path` is that of the URL.
    `head` are the first HEAD_BYTES bytes, or all if there are fewer.
    """
    if content_type.startswith("multipart/"):
        return "multipart"
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin.startswith(START):
        return "jpeg"
    if decoder_of(head):
        return "picture"
    if begin.startswith(PLAYLIST_START) or content_type in PLAYLIST_TYPES:
        return "playlist"
    if begin.startswith(b"--"):
        return "multipart"
    if content_type in JPEG_TYPES:
        return "jpeg"
    if path.lower().endswith(PLAYLIST_SUFFIX) and content_type != "text/html":
        return "playlist"
    return "other"


def conditions_of(header: Callable[[str], str]) -> dict[str, str]:
    """Return the request headers by which the same picture is not sent again. Empty: the camera knows no such thing.

    `header` returns a header of the response, empty without it.
    """
    if VALIDATOR.fullmatch(tag := header("ETag")):
        return {"If-None-Match": tag}
    changed = header("Last-Modified")
    if VALIDATOR.fullmatch(changed) and _is_settled(changed, header("Date")):
        return {"If-Modified-Since": changed}
    return {}


def _is_settled(changed: str, now: str) -> bool:
    """Return whether the picture is so old that a newer one has another time. Such times are in whole seconds."""
    try:
        return parsedate_to_datetime(now) - parsedate_to_datetime(changed) >= timedelta(seconds=1)
    except (TypeError, ValueError, OverflowError):
        return False
