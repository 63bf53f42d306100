"""What can be verified: a Debian package, the archive of an image, and a bundle as directory, archive or release.

Everything is read only after its digest was compared with a signed one, so that nothing foreign is parsed. A bundle in
an archive is the exception: its members are found by name first.
"""

import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from daemon.bundle.files import unnamed_files
from daemon.bundle.manifest import MANIFEST
from daemon.bundle.release import MAX_BUNDLE_BYTES, MAX_FILES
from daemon.core.errors import Refused
from daemon.core.files import open_regular
from daemon.core.text import clean

# where the SBOM lies in a package or an image
SBOM_PATH = "opt/perceptd/evidence/bom.cdx.json"
MAX_REASON_CHARS = 200
MAX_SBOM_BYTES = 16 * 1024 * 1024

# of the packed list of a tar: a name, a comment. The library reads each at once
MAX_RECORD_BYTES = 1024 * 1024

AR_MAGIC, AR_HEADER_BYTES = b"!<arch>\n", 60
CHUNK_BYTES = 1 << 20

# what libraries raise for an archive that is damaged; RuntimeError: encrypted, or packed in a way that is not known
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


class Files(Protocol):
    """The files of a bundle."""

    def open(self, path: str, sha256: str, /) -> IO[bytes] | None:
        """Open a file by its path in the bundle; None: there is none. Raises OSError."""

    def others(self, signed: Collection[str], /) -> list[str]:
        """Return what is there beside the files that are signed, each with what is wrong about it."""


class Member(tarfile.TarInfo):
    """A member of a tar from outside. A header that would take all memory is an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Member":
        """Read a header. Raises ValueError for one with too long a name or comment."""
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0 or (not member.isfile() and member.size > MAX_RECORD_BYTES):
            raise ValueError(f"a part of it claims to have {member.size} bytes")
        return member


class Directory:
    """A directory of a bundle, or of a release below `targets`, where the hash stands before the name of each file."""

    def __init__(self, directory: Path) -> None:
        """Use this directory; whether it is one of a release is seen file by file."""
        self._directory = directory

    def open(self, path: str, sha256: str, /) -> IO[bytes] | None:
        """See Files."""
        parent, _, name = path.rpartition("/")
        for candidate in (self._directory / path, self._directory / parent / f"{sha256}.{name}"):
            if candidate.is_file():
                return open_regular(candidate)
        return None

    def others(self, signed: Collection[str], /) -> list[str]:
        """See Files. What lies beside a bundle is no part of it: recordings, hidden files, a node's own list."""
        is_bundle = (self._directory / MANIFEST).is_file()  # a release has no file of this name
        return [_unsigned(name) for name in sorted(unnamed_files(self._directory) - set(signed)) if is_bundle]


class ZipFiles:
    """A zip with the files of a bundle."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Find the directory in it that has the manifest."""
        self._archive = archive
        members = archive.infolist()
        _check_size(len(members), sum(member.file_size for member in members))
        self._names = [member.filename for member in members if not member.is_dir()]
        self._base = _base(self._names)

    def open(self, path: str, _sha256: str, /) -> IO[bytes] | None:
        """See Files."""
        try:
            return self._archive.open(self._base + path)
        except KeyError:
            return None

    def others(self, signed: Collection[str], /) -> list[str]:
        """See Files."""
        return _others(self._names, self._base, signed)


class TarFiles:
    """A tar, packed or not, with the files of a bundle."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        """Find the directory in it that has the manifest."""
        self._archive = archive
        members = [member for member in _members(archive) if not member.isdir()]
        self._names = [member.name.removeprefix("./") for member in members]
        self._members = {name: member for name, member in zip(self._names, members, strict=True) if member.isfile()}
        self._base = _base(self._names)

    def open(self, path: str, _sha256: str, /) -> IO[bytes] | None:
        """See Files."""
        member = self._members.get(self._base + path)
        return None if member is None else self._archive.extractfile(member)

    def others(self, signed: Collection[str], /) -> list[str]:
        """See Files. A link has no content to compare, so it counts as one that nobody has signed."""
        return _others(self._names, self._base, signed)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError."""
    with open_regular(path) as file:
        return stream_sha256(file)


def stream_sha256(file: IO[bytes]) -> str:
    """Return the SHA-256 of the rest of a stream. Raises Refused when no bundle has as many bytes, and OSError."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_BUNDLE_BYTES:
            raise Refused(f"a file has more than {MAX_BUNDLE_BYTES} bytes, more than anything of perceptd has")
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def bundle_at(path: Path) -> Iterator[Files]:
    """Open a bundle in a directory, a zip or a tar. Raises Refused."""
    if path.is_dir():
        yield Directory(path)
        return
    try:
        with open_regular(path) as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    yield ZipFiles(archive)
            else:
                file.seek(0)
                with tarfile.open(fileobj=file, tarinfo=Member) as packed:
                    yield TarFiles(packed)
    except DAMAGED as error:
        raise Refused(f"{path}: cannot be read as a zip or tar of a bundle: {_reason(error)}") from error


def sbom_of_deb(path: Path) -> bytes | None:
    """Return the SBOM within a Debian package; None: it has none. Raises Refused when it cannot be read."""
    try:
        with open_regular(path) as file:
            if file.read(len(AR_MAGIC)) != AR_MAGIC:
                raise Refused(f"{path}: is no Debian package")
            while header := file.read(AR_HEADER_BYTES):
                name, size = header[:16].decode("ascii").strip(), int(header[48:58])
                if name.startswith("data.tar"):
                    return _sbom_in(file)
                file.seek(size + size % 2, os.SEEK_CUR)
    except DAMAGED as error:
        raise Refused(f"{path}: the Debian package cannot be read: {_reason(error)}") from error
    return None


def sbom_of_image(path: Path) -> bytes | None:
    """Return the SBOM within the archive of an image, from the layer that has it; None: none has.

    Both forms are read, that of OCI and that of docker. Raises Refused when the archive cannot be read.
    """
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, tarinfo=Member) as archive:
            for member in _members(archive):
                layer = archive.extractfile(member) if member.isfile() else None
                try:
                    found = None if layer is None else _sbom_in(layer)
                except tarfile.ReadError:
                    continue  # a document, not a layer
                if found is not None:
                    return found
    except DAMAGED as error:
        raise Refused(f"{path}: the image cannot be read: {_reason(error)}") from error
    return None


def _sbom_in(file: IO[bytes]) -> bytes | None:
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=Member) as archive:
        for member in archive:
            if member.name.removeprefix("./") == SBOM_PATH and member.isfile():
                if member.size > MAX_SBOM_BYTES:
                    raise ValueError(f"its SBOM has more than {MAX_SBOM_BYTES} bytes")
                content = archive.extractfile(member)
                return None if content is None else content.read()
    return None


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    size = 0
    for count, member in enumerate(archive):
        size += member.size
        # a comment may have changed the size that its header has
        if member.size < 0:
            raise ValueError(f"a part of it claims to have {member.size} bytes")
        _check_size(count, size)
        yield member


def _check_size(members: int, size: int) -> None:
    """Raise ValueError for more than a bundle or an image has."""
    if members > 2 * MAX_FILES or size > MAX_BUNDLE_BYTES:
        raise ValueError(f"it has more than {2 * MAX_FILES} members, or more than {MAX_BUNDLE_BYTES} bytes")


def _base(names: list[str]) -> str:
    """Return the directory with the manifest, as a prefix of names. Raises ValueError where there is not one."""
    manifests = [name for name in names if name == MANIFEST or name.endswith(f"/{MANIFEST}")]
    if len(manifests) != 1:
        raise ValueError(f"it has {len(manifests)} files {MANIFEST}, expected one")
    return manifests[0].removesuffix(MANIFEST)


def _others(names: list[str], base: str, signed: Collection[str]) -> list[str]:
    """Return the names of an archive that are not signed, and those that are there twice: programs read another one."""
    expected = {base + name for name in signed}
    found = Counter(names)
    repeated = [f"{name} is there {found[name]} times" for name in sorted(expected & found.keys()) if found[name] > 1]
    return [*repeated, *(_unsigned(name) for name in sorted(found.keys() - expected))]


def _unsigned(name: str) -> str:
    return f"{clean(name, MAX_REASON_CHARS)} is there, and is not signed"


def _reason(error: Exception) -> str:
    """Return what a library says, on one line. It quotes names of the archive."""
    return clean(" ".join(str(error).split()), MAX_REASON_CHARS)
