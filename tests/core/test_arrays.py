"""Archives of arrays that nobody here has written are read or refused in words."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.core.arrays import MAX_ARRAYS, read_arrays
from daemon.core.errors import Refused
from daemon.core.sealed import SealedFile

MOST_BYTES = 100_000
SHAPED = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}"

Spoil = Callable[[bytearray, int], None]


def npy(header: str, body: bytes = b"") -> bytes:
    """Return an array file with any header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + body


def archive(*contents: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytearray:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for number, content in enumerate(contents):
            file.writestr(f"a{number}.npy", content)
    return bytearray(packed.getvalue())


def spoilt(spoil: Spoil, compression: int = zipfile.ZIP_DEFLATED) -> bytearray:
    """Return an archive that was changed; `spoil` gets it and where its directory begins."""
    found = archive(npy(SHAPED.format((1000,)), bytes(4000)), compression=compression)
    spoil(found, found.find(b"PK\x01\x02"))
    return found


def encrypt(found: bytearray, directory: int) -> None:
    found[6] |= 1
    found[directory + 8] |= 1


def damage(found: bytearray, directory: int) -> None:
    found[directory - 20 : directory - 4] = b"\xff" * 16


def lie(found: bytearray, directory: int) -> None:
    found[directory + 24 : directory + 28] = struct.pack("<I", 100)


HOSTILE: dict[str, bytes | bytearray] = {
    "empty": b"",
    "text": b"text",
    "open string": archive(npy("{'descr': '''")),
    "open brackets": archive(npy("(" * 9000)),
    "deep": archive(npy("-" * 9000 + "1")),
    "no header": archive(b"\x93NUMPY\x01\x00"),
    "negative": archive(npy(SHAPED.format((-1, 11)))),
    "huge": archive(npy(SHAPED.format((10**12, 11)))),
    "beyond integers": archive(npy(SHAPED.format((10**30,)))),
    "objects": archive(npy(SHAPED.format((1,)).replace("<f4", "|O"))),
    "encrypted": spoilt(encrypt),
    "damaged": spoilt(damage),
    "damaged lzma": spoilt(damage, zipfile.ZIP_LZMA),
    "damaged bzip2": spoilt(damage, zipfile.ZIP_BZIP2),
    "lies about its size": spoilt(lie),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_archive_that_cannot_be_read_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(Refused, match=r"a\.npz: cannot be read: expected arrays that numpy\.savez has written"):
        read_arrays(SealedFile(tmp_path / "a.npz"), MOST_BYTES)


def test_an_archive_is_bounded_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.npz").write_bytes(archive(bytes(MOST_BYTES + 1)))
    with pytest.raises(Refused, match="unpacks to more than 100000 bytes"):
        read_arrays(SealedFile(tmp_path / "bomb.npz"), MOST_BYTES)
    (tmp_path / "many.npz").write_bytes(archive(*[b""] * (MAX_ARRAYS + 1)))
    with pytest.raises(Refused, match="has 65 entries, at most 64 may be"):
        read_arrays(SealedFile(tmp_path / "many.npz"), MOST_BYTES)


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", features=np.ones((2, 3), np.float32))
    found = read_arrays(SealedFile(tmp_path / "a.npz"), MOST_BYTES)
    assert {name: array.tolist() for name, array in found.items()} == {"features": [[1, 1, 1], [1, 1, 1]]}
