"""The accelerator of the tests: a real external delegate of TFLite, compiled from tests/delegate."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "delegate"
COMPILE = ["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-O2", "-Wall", "-Wextra", "-Werror"]


def build_delegate(directory: Path) -> Path:
    """The shared library, made in the directory. Raises RuntimeError with what the compiler says."""
    if shutil.which(COMPILE[0]) is None:
        raise RuntimeError("cc not found; the delegate of the tests needs the packages gcc and libc6-dev")
    library = directory / "libtestdelegate.so"
    command = [*COMPILE, "-o", library, *sorted(SOURCES.glob("*.c")), "-lm"]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if compiled.returncode != 0:
        raise RuntimeError(f"the delegate of the tests does not compile:\n{compiled.stderr}")
    return library
