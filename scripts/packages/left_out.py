"""What the wheels contain and the daemon never uses: left out of packages, which small cards and networks carry."""

from fnmatch import fnmatchcase

# patterns of paths below site-packages, each with its reason; * matches / too
LEFT_OUT = {
    "*.dist-info/RECORD": "names files that are left out",
    "*.pyi": "types, which only editors read",
    "*.pxd": "declarations for compilers",
    "*.pyx": "sources for compilers",
    "*.h": "headers for compilers",
    "*.a": "libraries for linkers",
    "*.sh": "tools of maintainers",
    "*/.gitignore": "files of a checkout",
    "*/tests/*": "tests of libraries",
    "*/test/*": "tests of libraries",
    "ai_edge_litert/aot/*": "compiles models for NPUs on a desk",
    "ai_edge_litert/tools/apply_plugin_main": "compiles models for NPUs on a desk",
    "ai_edge_litert/vendors/*": "drivers of NPUs, which the daemon has no use for",
    "numpy/distutils/*": "builds extensions",
    "securesystemslib/_vendor/ed25519/test_data/*": "tests of libraries",
    "pydantic/v1/*": "the interface of pydantic 1",
}


def is_left_out(path: str) -> bool:
    """Whether a file of a wheel is left out. `path` is relative to site-packages, with slashes."""
    return any(fnmatchcase(path, pattern) for pattern in LEFT_OUT)
