"""Downloads for TUF's client and of bundle files, from a web server or a directory."""

import os
from collections.abc import Generator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from daemon import __version__
from daemon.core.errors import UpdateError
from daemon.runtime.http import CHUNK_BYTES, HttpClient, TransferError, bounded, without_credentials

# for one metadata file: most have a few kilobytes, and a catalogue of a thousand files has 200 kB
METADATA_S = 120.0


class Transport(FetcherInterface):
    """Fetches files below `source`, an http, https or file URL; no file may take longer than `limit_s`.

    TUF's own Urllib3Fetcher sends no login to a proxy, repeats requests, follows redirects to plain http, and waits
    without end for a sender that is slow.
    """

    def __init__(self, source: str, limit_s: float = float("inf")) -> None:
        self.base = without_credentials(source).rstrip("/") + "/"
        self._limit_s = limit_s
        self._client = HttpClient(source, f"perceptd/{__version__}")

    def chunks(self, url: str, max_bytes: int) -> Generator[bytes, None, None]:
        """The content of a file. Raises UpdateError, also when it has more than `max_bytes`."""
        try:
            yield from bounded(self._fetch(url), url, max_bytes, self._limit_s)
        except TransferError as error:
            raise UpdateError("source", str(error)) from error

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The content of a metadata file, for TUF. Unlike the inherited method, it needs no temporary file."""
        try:
            return b"".join(bounded(self._fetch(url), url, max_length, self._limit_s))
        except TransferError as error:
            raise DownloadHTTPError(str(error), error.status) from error

    def _fetch(self, url: str) -> Generator[bytes, None, None]:
        return _read_file(url) if url.startswith("file:") else self._client.chunks(url)


def _read_file(url: str) -> Generator[bytes, None, None]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TransferError(f"{url}: there is no such file: is its disk mounted, and whole?", 404) from error
    except OSError as error:
        raise TransferError(f"{url}: cannot be read: {os.strerror(error.errno or 0)}") from error
