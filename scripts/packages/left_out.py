"""What the wheels contain and the daemon never uses: left out of packages, which small cards and networks carry."""

from fnmatch import fnmatchcase

# patterns of paths below site-packages, each with its reason; * matches / too
LEFT_OUT = {
    "*.dist-info/RECORD": "names files that are left out",
    "*.pyi": "types, which only editors read",
    "*.pxd": "declarations for compilers",
    "*/tests/*": "tests of libraries",
}


def is_left_out(path: str) -> bool:
    """Whether a file of a wheel is left out. `path` is relative to site-packages, with slashes."""
    return any(fnmatchcase(path, pattern) for pattern in LEFT_OUT)
