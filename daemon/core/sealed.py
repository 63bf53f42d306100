"""Copies of files in sealed memory: what happens to a file later does not reach those who use its copy."""

import errno
import fcntl
import hashlib
import os
from pathlib import Path

from daemon.core.files import open_regular

# glibc keeps the memory of larger pieces in its heap after they are freed
CHUNK_BYTES = 64 * 1024

# far more than a model for a small computer has
MAX_BYTES = 256 * 1024 * 1024

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def sealed_memory(content: bytes) -> int:
    """Return the descriptor of memory with this content, which no process can change. It is the caller's to close."""
    descriptor = os.memfd_create("perceptd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class SealedFile:
    """The content of a file at one time, in memory that no process can change.

    `source` is the file, for messages. `path` opens the copy, in this process and in a child that inherits
    `descriptor`. A library may map it: the pages are shared by all that do. `sha256` is the hash of the copy in hex.
    The memory is free once this object and all mappings are gone.
    """

    def __init__(self, source: Path, most_bytes: int = MAX_BYTES) -> None:
        """Copy the file. Raises OSError; with EFBIG where it has more than `most_bytes`."""
        self.source = source
        digest, self.size = hashlib.sha256(), 0
        # a file object closes the descriptor with the last reference
        self._copy = os.fdopen(os.memfd_create("perceptd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
        with open_regular(source) as file:
            while chunk := file.read(CHUNK_BYTES):
                self.size += len(chunk)
                if self.size > most_bytes:
                    raise OSError(errno.EFBIG, f"has more than {most_bytes} bytes", str(source))
                digest.update(chunk)
                self._copy.write(chunk)
        self._copy.flush()
        fcntl.fcntl(self._copy, fcntl.F_ADD_SEALS, SEALS)
        self.sha256 = digest.hexdigest()

    @property
    def descriptor(self) -> int:
        """The descriptor of the copy."""
        return self._copy.fileno()

    @property
    def path(self) -> Path:
        """The path under which this process, and a child with the descriptor, opens the copy."""
        return Path(f"/proc/self/fd/{self.descriptor}")
