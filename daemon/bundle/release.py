"""What a source offers: bundles by name and version, each a list of signed files. Schemas and rules; no I/O.

Every file of a bundle is a target of its own: `NAME/VERSION/bundle.yaml`, `NAME/VERSION/selftest/cases.yaml`.
"""

import hashlib
import re
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from daemon.bundle.manifest import Name, Version
from daemon.core.document import StrictModel

MANIFEST = "bundle.yaml"
SELFTEST_PREFIX = "selftest/"
FILE_LIST_NAME = "files.txt"
"""In the store a bundle's directory holds its `file_list` under this name."""

RESERVED = {FILE_LIST_NAME, "files.new", "selftest"}
"""Names in a bundle's directory that are the store's own, or a directory: no file of a bundle may have them."""

MAX_FILES = 400
"""A bundle has a dozen files, and a hundred with a large self-test; more find no room in `MAX_RELEASE_BYTES`."""

MAX_RELEASE_BYTES = 60_000
"""A release is one answer of a child process, which holds 64 kB (runtime/child.py)."""

MAX_BUNDLE_BYTES = 4 * 2**30
"""More than a board of this class can load; lengths far beyond are a mistake, or an attack on quotas."""

MAX_OFFERS = 100
"""So many releases are listed: what a person looks through, and what finds room in an answer."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(StrictModel):
    """One file of a bundle, by its path inside it."""

    path: Annotated[str, Field(pattern=r"^(selftest/)?[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    length: Annotated[int, Field(ge=0, le=2**40)]
    sha256: Sha256


class ReleaseInfo(StrictModel):
    """What the publisher signs of a whole bundle: the `custom.perceptd` of its manifest's target.

    `needs_perceptd` is the oldest version of this program that can run it, `memory_mb` how much memory its models need.
    """

    model_config = ConfigDict(extra="ignore")

    name: Name
    version: Version
    needs_perceptd: Version
    memory_mb: Annotated[int, Field(ge=1, le=1_000_000)]


class Release(StrictModel):
    """One version of a bundle, with its files in the order of their paths: as publishers sign and devices take it."""

    signed: ReleaseInfo
    files: tuple[FileEntry, ...]

    @model_validator(mode="after")
    def _can_be_a_directory(self) -> "Release":
        paths = [entry.path for entry in self.files]
        if paths != sorted(paths):
            raise ValueError("its files are not in order")
        if len({path.casefold() for path in paths}) != len(paths):
            raise ValueError("names of its files differ in case only, or not at all")
        if MANIFEST not in paths:
            raise ValueError(f"it has no {MANIFEST}")
        for path in paths:
            if path.casefold() in RESERVED:
                raise ValueError(f"it has a file {path}, a name that the store needs itself")
        return self

    @model_validator(mode="after")
    def _is_not_too_much(self) -> "Release":
        if len(self.files) > MAX_FILES:
            raise ValueError(f"it has {len(self.files)} files, more than {MAX_FILES}")
        if self.size > MAX_BUNDLE_BYTES:
            raise ValueError(f"it has {self.size} bytes, more than {MAX_BUNDLE_BYTES}")
        if len(self.model_dump_json()) > MAX_RELEASE_BYTES:
            what = f"{len(self.files)} files with so long names"
            raise ValueError(f"it has {what} that their list is over {MAX_RELEASE_BYTES} bytes")
        return self

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.signed.name}@{self.signed.version}"

    @property
    def size(self) -> int:
        """Of all files together, in bytes."""
        return sum(entry.length for entry in self.files)

    @property
    def content(self) -> str:
        """A hash of what it consists of: the name of its directory in the store."""
        return hashlib.sha256(file_list(self.files)).hexdigest()


class Offer(ReleaseInfo):
    """A release as it is listed, without its files; `size` is of all of them, in bytes."""

    size: Annotated[int, Field(ge=0)]

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.name}@{self.version}"


def file_list(files: tuple[FileEntry, ...]) -> bytes:
    """The files as text, one line each: hash, length and path."""
    return "".join(f"{entry.sha256} {entry.length} {entry.path}\n" for entry in files).encode()


def version_key(version: str) -> tuple[int, ...]:
    """By which versions are ordered."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
