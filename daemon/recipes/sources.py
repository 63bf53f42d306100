"""Finds the sources of a recipe: in a directory that the user names, in the cache, or at their URLs."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from daemon import __version__
from daemon.core.document import Loaded
from daemon.core.errors import Refused
from daemon.core.sealed import CHUNK_BYTES, SealedFile
from daemon.core.text import clean
from daemon.recipes.archive import WrongFile, extract
from daemon.recipes.cache import SourceCache, Unfinished, sealed_if
from daemon.recipes.recipe import MAX_ARCHIVE_BYTES, Origin, Recipe, SourceSpec
from daemon.runtime.http import CannotResume, HttpClient, TransferError, bounded

# of a directory that the user names: a folder of models has some dozens
MAX_FILES = 10_000

NO_NETWORK = "run this again when the network works, or give a directory that has the file by --from DIR"

# Takes one line about the progress, for a person.
Show = Callable[[str], None]


class LocalFiles:
    """The plain files directly in one directory, found by hash. Only files of the right size are read."""

    def __init__(self, directory: Path) -> None:
        """List the directory. Raises Refused."""
        self.directory = directory
        self._by_size: dict[int, list[Path]] = {}
        try:
            paths = list(islice(_plain_files(directory), MAX_FILES + 1))
            if len(paths) > MAX_FILES:
                raise Refused(f"{directory}: has more than {MAX_FILES} files; name a directory of models")
            for path in sorted(paths):
                self._by_size.setdefault(path.stat().st_size, []).append(path)
        except OSError as error:
            raise Refused(f"{directory}: cannot be read: {error.strerror or error}") from error

    def find(self, sha256: str, size: int) -> SealedFile | None:
        """Return a copy of the file with this hash; None: there is none."""
        copies = (sealed_if(path, sha256, size) for path in self._by_size.get(size, ()))
        return next((copy for copy in copies if copy is not None), None)


def find_sources(
    loaded: Loaded[Recipe], local: LocalFiles | None, cache: SourceCache, show: Show
) -> dict[str, SealedFile]:
    """Return a verified copy of each source by name. With `local` no network is used.

    Raises Refused, naming file, line and key, where a source is not to be had.
    """
    found = {}
    for name, spec in loaded.document.sources.items():
        where = loaded.where("sources", name)
        try:
            copy = None if local is None else local.find(spec.sha256, spec.size)
            copy = copy or cache.find(spec.sha256, spec.size)
            if copy is None and local is not None:
                raise Refused(f"{where}: {_missing(local.directory, spec)}")
            found[name] = copy or _fetch(where, name, spec, cache, show)
        except OSError as error:
            path = error.filename or cache.directory
            raise Refused(f"{where}: {path}: cannot be written: {error.strerror or error}") from error
    return found


def _missing(directory: Path, spec: SourceSpec) -> str:
    """Return which file a directory lacks, and what to do."""
    lacks = f"{directory} has no file of {spec.size} bytes with the SHA-256 {spec.sha256}"
    if not spec.origins:
        return f"{lacks}; put it there"
    origin = spec.origins[0]
    name = (origin.member or urlsplit(origin.url).path).rpartition("/")[2]
    return f"{lacks}, which its makers call {clean(name)}; put it there, or leave out --from to fetch it"


def _fetch(where: str, name: str, spec: SourceSpec, cache: SourceCache, show: Show) -> SealedFile:
    """Try one origin after another. Raises Refused with what is wrong with each."""
    if not spec.origins:
        raise Refused(f"{where}: has no URL under from; give the directory with the file by --from")
    reasons = []
    for origin in spec.origins:
        try:
            _fetch_from(origin, name, spec, cache, show)
        except (TransferError, WrongFile) as error:
            reasons.append(str(error))
            continue
        copy = cache.find(spec.sha256, spec.size)
        if copy is not None:
            return copy
        reasons.append(f"{cache.directory / spec.sha256}: reads back differently than written: is the disk failing?")
    reasons.append(NO_NETWORK)
    raise Refused("\n".join([f"{where}: cannot be fetched", *(f"  {reason}" for reason in reasons)]))


def _fetch_from(origin: Origin, name: str, spec: SourceSpec, cache: SourceCache, show: Show) -> None:
    """Put the file of one origin into the cache. Raises TransferError, WrongFile, and OSError."""
    most_bytes = spec.size if origin.member is None else origin.size or MAX_ARCHIVE_BYTES
    # the name of the unfinished download: another recipe may name another file at the same URL
    key = hashlib.sha256(f"{origin.url} {spec.sha256}".encode()).hexdigest()
    with cache.partial(key, most_bytes) as download:
        while True:
            was_resumed = _download(origin.url, download.file, most_bytes, name, show)
            try:
                _keep(origin, spec, download, cache)
            except WrongFile as error:
                download.file.truncate(0)
                if not was_resumed:  # else the beginning may be of another version of the file
                    raise WrongFile(f"{origin.url}: {error}") from error
            else:
                return


def _keep(origin: Origin, spec: SourceSpec, download: Unfinished, cache: SourceCache) -> None:
    """Verify what was downloaded, and store it or its member. Raises WrongFile, and OSError."""
    if origin.member is None:
        _verify(download.file, spec.sha256, spec.size)
        cache.store(download, spec.sha256)
        return
    if origin.sha256 is not None:
        _verify(download.file, origin.sha256, None)
    with cache.temporary() as member:
        extract(download.file, origin.member, spec.size, member.file)
        _verify(member.file, spec.sha256, spec.size)
        cache.store(member, spec.sha256)
    download.path.unlink(missing_ok=True)


def _download(url: str, file: BinaryIO, most_bytes: int, name: str, show: Show) -> bool:
    """Append the rest of the file; return whether there was a beginning. Raises TransferError, and OSError."""
    start = file.seek(0, 2)
    try:
        _receive(url, file, start, most_bytes, name, show)
    except CannotResume:
        file.truncate(0)
        _receive(url, file, file.seek(0), most_bytes, name, show)
        return False
    return start > 0


def _receive(url: str, file: BinaryIO, start: int, most_bytes: int, name: str, show: Show) -> None:
    client = HttpClient(url, f"perceptd/{__version__}")
    received = start
    try:
        for chunk in bounded(client.chunks(url, start), url, most_bytes - start):
            file.write(chunk)
            received += len(chunk)
            show(f"{name}: {received / 1e6:.1f} MB of at most {most_bytes / 1e6:.1f} MB")
    finally:
        file.flush()


def _verify(file: BinaryIO, sha256: str, size: int | None) -> None:
    """Raise WrongFile when the content has another size or hash."""
    file.seek(0)
    digest, found = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        found += len(chunk)
    if size is not None and found != size:
        raise WrongFile(f"has {found} bytes, expected {size}")
    if digest.hexdigest() != sha256:
        raise WrongFile(f"has the SHA-256 {digest.hexdigest()}, expected {sha256}")


def _plain_files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.iterdir() if path.is_file())
