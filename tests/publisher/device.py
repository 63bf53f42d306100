"""What a device sees of a repository: the reference client of TUF, on files."""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater


class FileFetcher(FetcherInterface):
    """A web server's answers, without the web server."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"{path}: 404", 404)
        return iter([path.read_bytes()])


class Device:
    """A client with the root it was given and what it has cached since; it asks a web server, if there is one."""

    def __init__(self, directory: Path, root: Path, public: Path, url: str | None = None) -> None:
        self.directory, self._url = directory, url or f"file://{public}"
        self._fetcher = None if url else FileFetcher()
        self._root = root.read_bytes()
        directory.mkdir()

    def refresh(self) -> Updater:
        """Raises what the client finds wrong."""
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
        """Every target, downloaded and verified, by its name."""
        updater = self.refresh()
        found = {}
        for name in json.loads((self.directory / "targets.json").read_bytes())["signed"]["targets"]:
            info = updater.get_targetinfo(name)
            assert info is not None
            found[name] = Path(updater.download_target(info, str(self.directory / "target"))).read_bytes()
        return found

    def bundles(self) -> set[str]:
        """Name and version of each bundle of which it got every file."""
        return {"@".join(name.split("/")[:2]) for name in self.targets()}

    def version(self, role: str) -> int:
        """Of the document it trusts."""
        return int(json.loads((self.directory / f"{role}.json").read_bytes())["signed"]["version"])
