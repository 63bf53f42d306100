"""Reads archives of arrays, as numpy.savez writes them, from files that nobody here may have written."""

import zipfile
import zlib

import numpy as np

from daemon.core.errors import Refused
from daemon.core.records import Tensor
from daemon.core.sealed import SealedFile


def read_arrays(copy: SealedFile, most_bytes: int) -> dict[str, Tensor]:
    """Return the arrays of a `.npz` file by name.

    Raises Refused when it unpacks to more than `most_bytes`, or is none. Objects of Python are refused too.
    """
    path = copy.source
    try:
        with zipfile.ZipFile(copy.path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > most_bytes:
                raise Refused(f"{path}: unpacks to more than {most_bytes} bytes")
        with np.load(copy.path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, MemoryError) as error:
        raise Refused(f"{path}: cannot be read: expected arrays that numpy.savez has written") from error
