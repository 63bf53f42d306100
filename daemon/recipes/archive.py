"""Takes one file out of a zip or a wheel that nobody has verified: bounded, and nothing is written by its names."""

import io
import stat
import zipfile
import zlib
from typing import IO, BinaryIO

from daemon.core.errors import PerceptdError
from daemon.core.sealed import CHUNK_BYTES

# a bit of a member's flags
ENCRYPTED = 1

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# of a zip's list of members; the reader takes some multiples of it in memory. A wheel of 10,000 files has 1 MB
MAX_LIST_BYTES = 4 * 1024 * 1024


class WrongFile(PerceptdError):
    """What was fetched is not the file that a recipe names; another place may have it."""


class _Bounded(io.BufferedIOBase):
    """A file for `zipfile`, which reads the list of members at once, however long an archive says that it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        """Read as the file does. Raises WrongFile where there is more than a list may have."""
        most = MAX_LIST_BYTES + 1
        content = self._file.read(most if size is None or size < 0 else min(size, most))
        if len(content) == most:
            raise WrongFile(f"has a list of members of more than {MAX_LIST_BYTES} bytes")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as the file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in the file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Return True: a zip is read from its end."""
        return True


def extract(archive: BinaryIO, member: str, size: int, target: BinaryIO) -> None:
    """Copy one member, of exactly `size` bytes, from a zip file to `target`. Raises WrongFile, and OSError."""
    try:
        with zipfile.ZipFile(_Bounded(archive)) as opened:
            entry = _entry(opened, member, size)
            with opened.open(entry) as reader:
                _copy(reader, member, size, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise WrongFile(f"is no zip file, or a damaged one: {' '.join(str(error).split())[:200]}") from error


def _entry(archive: zipfile.ZipFile, member: str, size: int) -> zipfile.ZipInfo:
    found = [entry for entry in archive.infolist() if entry.filename == member]
    if len(found) != 1:
        raise WrongFile(f"has {len(found) or 'no'} {'members' if found else 'member'} {member}, expected one")
    (entry,) = found
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise WrongFile(f"has {member} as a link or a directory, expected a plain file")
    if entry.flag_bits & ENCRYPTED:
        raise WrongFile(f"has {member} encrypted, expected a plain file")
    if entry.compress_type not in METHODS:
        raise WrongFile(f"has {member} packed by method {entry.compress_type}, expected stored or deflated")
    if entry.file_size != size:
        raise WrongFile(f"has {member} of {entry.file_size} bytes, expected {size}")
    return entry


def _copy(reader: IO[bytes], member: str, size: int, target: BinaryIO) -> None:
    """Copy at most `size` bytes: what an archive says of the size of a member need not be true."""
    copied = 0
    while chunk := reader.read(CHUNK_BYTES):
        copied += len(chunk)
        if copied > size:
            raise WrongFile(f"unpacks {member} to more than the {size} bytes that it names")
        target.write(chunk)
    if copied != size:
        raise WrongFile(f"unpacks {member} to {copied} bytes, expected {size}")
