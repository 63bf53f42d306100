"""The accelerator of the tests: a real external delegate of TFLite, compiled from tests/delegate."""

from pathlib import Path

from tests.helpers.compiled import compile_library

SOURCES = Path(__file__).resolve().parents[1] / "delegate"


def build_delegate(directory: Path) -> Path:
    """The shared library, made in the directory. Raises RuntimeError with what the compiler says."""
    return compile_library(directory / "libtestdelegate.so", sorted(SOURCES.glob("*.c")), "-lm")
