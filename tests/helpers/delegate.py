"""Compiles tests/delegate, a real external delegate of TFLite that stands in for an accelerator."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.cache import cached, key_of
from tests.helpers.compiled import COMPILE, compile_library

SOURCES = Path(__file__).resolve().parents[1] / "delegate"
LIBRARY = "libtestdelegate.so"


def build_delegate(directory: Path) -> Path:
    """Compile the shared library into the directory. Raises RuntimeError with the compiler's messages."""
    return compile_library(directory / LIBRARY, sorted(SOURCES.glob("*.c")), "-lm")


@contextmanager
def cached_delegate() -> Iterator[Path]:
    """Yield the shared library, compiled once for all test runs."""

    def make(directory: Path) -> None:
        directory.mkdir()
        build_delegate(directory)

    key = key_of(*COMPILE, *(path.read_bytes() for path in sorted(SOURCES.iterdir())))
    with cached("delegate", key, make) as directory:
        yield directory / LIBRARY
