"""How files come from a source, a web server or a directory: bounded in size and time, and nothing is tried twice."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from daemon import __version__
from daemon.bundles.paced import paced
from daemon.bundles.web import CHUNK_BYTES, Missing, Web, without_credentials
from daemon.errors import UpdateError

METADATA_S = 120.0
"""For one metadata file: they are a few kilobytes, and a catalogue of a thousand files 200 kB."""


class Transport(FetcherInterface):
    """The files below `source`, an http, https or file URL; user and password in it are never shown.

    No file may take longer than `most_s`.
    """

    def __init__(self, source: str, most_s: float = float("inf")) -> None:
        self._most_s = most_s
        self.base = without_credentials(source).rstrip("/") + "/"
        self._web = None if urlsplit(source).scheme == "file" else Web(source, f"perceptd/{__version__}")

    def chunks(self, url: str, most_bytes: int) -> Generator[bytes, None, None]:
        """A file's content. Raises UpdateError, also when it has more than `most_bytes`; Missing when there is none."""
        received = 0
        for chunk in self._fetch(url):
            received += len(chunk)
            if received > most_bytes:
                raise UpdateError("source", f"{url}: sends more than the {most_bytes} bytes that it may have")
            yield chunk

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """A whole metadata file, in memory: no temporary file is needed anywhere. For TUF, which looks for 404."""
        try:
            return b"".join(self.chunks(url, max_length))
        except Missing as missing:
            raise DownloadHTTPError(str(missing), missing.status) from missing

    def _fetch(self, url: str) -> Iterator[bytes]:
        return paced(lambda: self._read(url), url, self._most_s)

    def _read(self, url: str) -> Iterator[bytes]:
        return _from_disk(url) if self._web is None else self._web.chunks(url)


def _from_disk(url: str) -> Iterator[bytes]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Missing(f"{url}: there is no such file: is its disk mounted, and whole?", 404) from error
    except OSError as error:
        raise UpdateError("source", f"{url}: cannot be read: {os.strerror(error.errno or 0)}") from error
