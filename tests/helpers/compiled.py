"""Compiles shared libraries for tests from C."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

COMPILE = ["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-O2", "-Wall", "-Wextra", "-Werror"]


def compile_library(library: Path, sources: Sequence[Path], *libraries: str) -> Path:
    """Compile the sources into a shared library; return it. Raises RuntimeError with the compiler's messages."""
    if shutil.which(COMPILE[0]) is None:
        raise RuntimeError(f"{COMPILE[0]} not found; {library.name} of the tests needs the packages gcc and libc6-dev")
    command = [*COMPILE, "-o", library, *sources, *libraries]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if compiled.returncode != 0:
        raise RuntimeError(f"{library.name} of the tests does not compile:\n{compiled.stderr}")
    return library
