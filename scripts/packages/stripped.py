"""Removes the symbols of shared libraries, which only a debugger reads: a tenth of a package."""

import struct
import subprocess
from pathlib import Path

from packages.targets import Target

ELF = b"\x7fELF"
# of a 64-bit header: where the program headers are; their size and number
HEADERS_AT, HEADER_SIZE_AT = 32, 54
LOAD = 1


def strip_libraries(target: Target, directory: Path) -> None:
    """Strip the shared libraries below `directory`, with the tool for the target's processor.

    The tool is in the Debian package binutils-x86-64-linux-gnu or binutils-aarch64-linux-gnu.
    """
    stripped = directory / "stripped"
    for library in sorted(path for path in directory.rglob("*.so*") if path.is_file()):
        with library.open("rb") as file:
            if file.read(len(ELF)) != ELF:
                continue
        command = [f"{target.machine}-linux-gnu-strip", "--strip-unneeded", "-o", str(stripped), str(library)]
        subprocess.run(command, check=True)
        # strip misplaces some segments that patchelf has added when the wheel was made
        if is_loadable(stripped.read_bytes()):
            stripped.chmod(0o644)
            stripped.replace(library)
    stripped.unlink(missing_ok=True)


def is_loadable(library: bytes) -> bool:
    """Whether each segment lies in the file where the loader can map it: at the same place in a page as in memory."""
    (headers,) = struct.unpack_from("<Q", library, HEADERS_AT)
    size, count = struct.unpack_from("<HH", library, HEADER_SIZE_AT)
    for start in range(headers, headers + size * count, size):
        kind, _, offset, address, _, _, _, alignment = struct.unpack_from("<IIQQQQQQ", library, start)
        if kind == LOAD and (offset - address) % alignment != 0:
            return False
    return True
