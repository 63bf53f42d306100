"""A device: the reference client of TUF, reading the files of a repository."""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater


class FileFetcher(FetcherInterface):
    """Returns the answers of a web server, from files."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"{path}: 404", 404)
        return iter([path.read_bytes()])


class Device:
    """A client with its first root and its cache; it fetches from `url`, or else from files."""

    def __init__(self, directory: Path, root: Path, public: Path, url: str | None = None) -> None:
        self.directory, self._url = directory, url or f"file://{public}"
        self._fetcher = None if url else FileFetcher()
        self._root = root.read_bytes()
        directory.mkdir()

    def refresh(self) -> Updater:
        """Fetch the metadata. Raises the errors of the client."""
        updater = Updater(
            str(self.directory),
            metadata_base_url=f"{self._url}/metadata/",
            target_base_url=f"{self._url}/targets/",
            fetcher=self._fetcher,
            bootstrap=self._root,
        )
        updater.refresh()
        return updater

    def targets(self) -> dict[str, bytes]:
        """Return every target, downloaded and verified, by its name."""
        updater = self.refresh()
        found = {}
        for name in json.loads((self.directory / "targets.json").read_bytes())["signed"]["targets"]:
            info = updater.get_targetinfo(name)
            assert info is not None
            found[name] = Path(updater.download_target(info, str(self.directory / "target"))).read_bytes()
        return found

    def bundles(self) -> set[str]:
        """Return name and version of each bundle that was downloaded."""
        return {"@".join(name.split("/")[:2]) for name in self.targets()}

    def version(self, role: str) -> int:
        """Return the version of the trusted document."""
        return int(json.loads((self.directory / f"{role}.json").read_bytes())["signed"]["version"])
