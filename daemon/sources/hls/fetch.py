"""Fetches playlists and segments over HTTP, bounded in bytes and time."""

from dataclasses import dataclass, field
from threading import Event

from daemon.core.errors import CameraRefusal, SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.container import NO_ANSWER
from daemon.sources.hls.playlist import Resource
from daemon.sources.http.camera import STATUS_REFUSALS, http_failure
from daemon.sources.http.connection import NoAnswer
from daemon.sources.http.session import HttpError, HttpSession

# For all of a file, at whatever pace it comes. A segment that takes longer is of no use any more.
MAX_FETCH_S = 30.0

# The answers to a request for a file, and for a range of it.
WHOLE, PARTIAL = 200, 206
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class File:
    """The content of a resource, and the URL at which it was found after redirects, without a login."""

    url: str = field(repr=False)
    content: bytes = field(repr=False)


class Fetcher:
    """Fetches the files of one stream, over one connection at a time. Used by one thread.

    The messages of its errors name only `label`.
    """

    def __init__(self, url: str, label: str, timeout_s: float, stop: Event) -> None:
        """`url` has the login, which is sent to its host only. `timeout_s` is for connecting, and for each wait."""
        self._label = label
        self._session = HttpSession(url, timeout_s, stop)

    def fetch(self, resource: Resource, max_bytes: int) -> File:
        """Return the content of a resource. Raises SourceError, and Stopped."""
        is_whole = False
        try:
            file = self._fetch(resource, max_bytes)
            is_whole = True
            return file
        except (NoAnswer, HttpError, OSError, ValueError) as error:
            raise http_failure(self._label, "cannot be fetched", error) from None
        finally:
            if not is_whole:
                self._session.close()  # the rest of this answer is not the next one

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _fetch(self, resource: Resource, max_bytes: int) -> File:
        headers = {}
        if resource.byte_range:
            first, count = resource.byte_range
            headers["Range"] = f"bytes={first}-{first + count - 1}"
        began_ns = monotonic_ns()
        response = self._session.get(headers, self._url(resource) if resource.base else None)
        self._check(response.status, resource)
        parts: list[bytes] = []
        size = 0
        while part := response.read():
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise SourceError(f"{self._label}: sends more than the allowed {max_bytes} bytes for one file")
            if monotonic_ns() - began_ns > MAX_FETCH_S * NS_PER_S:
                raise SourceError(f"{self._label}: cannot be fetched: {NO_ANSWER}")
        if response.is_cut:
            raise SourceError(f"{self._label}: cannot be fetched: the connection was cut")
        content = b"".join(parts)
        if resource.byte_range and response.status == WHOLE:
            content = content[first : first + count]  # the server does not know ranges
        return File(response.url, content)

    def _url(self, resource: Resource) -> str:
        try:
            return resource.url
        except SourceError as error:
            raise SourceError(f"{self._label}: {error}") from None

    def _check(self, status: int, resource: Resource) -> None:
        if status == WHOLE or (status == PARTIAL and resource.byte_range):
            return
        # where a playlist names the path, that of the configuration is right
        refusal = STATUS_REFUSALS.get(status) if status == UNAUTHORIZED or not resource.base else None
        if refusal is not None:
            raise CameraRefusal(f"{self._label}: {refusal[0]}", refusal[1])
        what = "what the playlist names" if resource.base else "the playlist"
        raise SourceError(f"{self._label}: {what} cannot be fetched: status {status}")
