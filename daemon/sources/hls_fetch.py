"""Fetches playlists and segments over HTTP with FFmpeg, bounded in bytes and time."""

from threading import Event

import av
from av.container import InputContainer

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.container import NO_ANSWER, failure
from daemon.sources.hls_playlist import Resource

# For all of a file, at whatever pace it comes. A segment that takes longer is of no use any more.
MAX_FETCH_S = 30.0

# A redirect reaches neither files nor other protocols.
OPTIONS = {"protocol_whitelist": "http,https,httpproxy,tcp,tls", "seekable": "0", "icy": "0"}

# FFmpeg's format that passes on the bytes as they are.
RAW = "data"


def fetch(resource: Resource, label: str, max_bytes: int, timeout_s: float, stop: Event) -> bytes:
    """Return the content of a resource; when stopped, what has come so far.

    `timeout_s` is for opening, and for each read. FFmpeg logs in with user and password of the URL, Basic or Digest.
    Raises SourceError, whose message names only `label`.
    """
    options = dict(OPTIONS)
    if resource.byte_range:
        first, count = resource.byte_range
        options |= {"seekable": "1", "offset": str(first), "end_offset": str(first + count)}
    began_ns = monotonic_ns()
    try:
        url = resource.url
    except SourceError as error:
        raise SourceError(f"{label}: {error}") from None
    try:
        with av.open(url, format=RAW, options=options, timeout=timeout_s) as container:
            return _content(container, label, max_bytes, began_ns, stop)
    except (av.FFmpegError, OSError, ValueError) as error:
        if resource.base and isinstance(error, (av.HTTPNotFoundError, av.HTTPForbiddenError)):
            # the path in camera.device is right
            raise SourceError(f"{label}: what the playlist names cannot be fetched: {error.strerror}") from None
        raise failure(label, "cannot be fetched", error) from None


def _content(container: InputContainer, label: str, max_bytes: int, began_ns: int, stop: Event) -> bytes:
    parts: list[bytes] = []
    size = 0
    for packet in container.demux():
        parts.append(bytes(packet))
        size += len(parts[-1])
        if size > max_bytes:
            raise SourceError(f"{label}: sends more than the allowed {max_bytes} bytes for one file")
        if monotonic_ns() - began_ns > MAX_FETCH_S * NS_PER_S:
            raise SourceError(f"{label}: cannot be fetched: {NO_ANSWER}")
        if stop.is_set():
            break
    return b"".join(parts)
