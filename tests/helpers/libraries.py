"""Shared libraries that stand in for libedgetpu, compiled without headers."""

import subprocess
from pathlib import Path

TELLS = 'const char *edgetpu_version(void) { return "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)"; }'
CRASHES = "const char *edgetpu_version(void) { volatile int *volatile nowhere = 0; *nowhere = 1; return 0; }"
CRASHES_WHEN_LOADED = (
    "__attribute__((constructor)) static void begin(void) { volatile int *volatile nowhere = 0; *nowhere = 1; }"
)
LACKS_IT = "int something_else;"
NEEDS_ANOTHER = "extern int of_another_library(void); int (*call)(void) = of_another_library;"


def compile_library(directory: Path, source: str, name: str = "libedgetpu.so.1") -> Path:
    """Compile C source text into a shared library; return its path."""
    path = directory / name
    command = ["gcc", "-x", "c", "-O0", "-shared", "-fPIC", "-nostdlib", "-o", path, "-"]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)
    return path
