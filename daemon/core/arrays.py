"""Reads archives of arrays, as numpy.savez writes them, from files that nobody here may have written."""

import zipfile

import numpy as np

from daemon.core.errors import Refused
from daemon.core.records import Tensor
from daemon.core.sealed import SealedFile

# an archive of arrays has a few; each costs time before anything of it is read
MAX_ARRAYS = 64


def read_arrays(copy: SealedFile, most_bytes: int) -> dict[str, Tensor]:
    """Return the arrays of a `.npz` file by name.

    Raises Refused when it unpacks to more than `most_bytes`, has more than MAX_ARRAYS entries, or is none. Objects of
    Python are refused too.
    """
    path = copy.source
    try:
        with zipfile.ZipFile(copy.path) as archive:
            entries = archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise Refused(f"{path}: has {len(entries)} entries, at most {MAX_ARRAYS} may be")
        if sum(entry.file_size for entry in entries) > most_bytes:
            raise Refused(f"{path}: unpacks to more than {most_bytes} bytes")
        with np.load(copy.path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}
    except Refused:
        raise
    except Exception as error:  # the archive, its compressions and the literals of numpy fail in many ways
        raise Refused(f"{path}: cannot be read: expected arrays that numpy.savez has written") from error
