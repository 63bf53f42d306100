"""The schema of a release, which is one version of a bundle: its files, its limits and its content hash. No I/O.

Every file of a bundle is a TUF target: `NAME/VERSION/bundle.yaml`, `NAME/VERSION/selftest/cases.yaml`.
"""

import hashlib
import re
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from daemon.bundle.encoder_specs import Name
from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY, LocalVersion, Manifest, Version
from daemon.core.document import StrictModel

SELFTEST_PREFIX = f"{SELFTEST_DIRECTORY}/"

# the file with the `file_list` of a bundle that is installed on a device
FILE_LIST_NAME = "files.txt"

# names that an installed bundle's directory needs itself: no file of a bundle may have them
RESERVED = {FILE_LIST_NAME, "files.new", SELFTEST_DIRECTORY}

# a bundle has a dozen files, about a hundred with a large self-test; more do not fit into MAX_RELEASE_BYTES
MAX_FILES = 400

# each file takes about 200 bytes in the file list
MAX_LISTING_BYTES = 256 * 1024

# a child process reports a release as JSON in its standard output, which takes 64 kB (runtime/child.py)
MAX_RELEASE_BYTES = 60_000

# more than a small computer can load; a longer one is a mistake, or an attack on the quota
MAX_BUNDLE_BYTES = 4 * 2**30

# listed releases: as many as fit into one MQTT answer and as a person reads
MAX_OFFERS = 100

# the first version of perceptd that reads `label_info`; older ones refuse a bundle with a key that they do not know
LABEL_INFO_SINCE = "0.4.0"

# the first version of perceptd that reads bundles of format 2
FORMAT_2_SINCE = "0.5.0"
TAUGHT_SINCE = "0.6.0"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(StrictModel):
    """One file of a bundle, by its path in the bundle's directory."""

    path: Annotated[str, Field(pattern=r"^(selftest/)?[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    length: Annotated[int, Field(ge=0, le=2**40)]
    sha256: Sha256


class BundleInfo(StrictModel):
    """The facts about a bundle that an installation needs before it opens the bundle.

    `needs_perceptd` is the oldest version of this program that can run it, `memory_mb` the memory for its models.
    """

    name: Name
    version: LocalVersion
    needs_perceptd: Version
    memory_mb: Annotated[int, Field(ge=1, le=1_000_000)]


class ReleaseInfo(BundleInfo):
    """The signed facts about a bundle: the field `custom.perceptd` of its manifest's target.

    Unknown fields are ignored, so that a newer publisher can add some.
    """

    model_config = ConfigDict(extra="ignore")

    version: Version


class BundleFiles(StrictModel):
    """The files of one version of a bundle, sorted by path. Nobody has signed a version that was taught here."""

    signed: BundleInfo
    files: tuple[FileEntry, ...]

    @model_validator(mode="after")
    def _check_paths(self) -> "BundleFiles":
        paths = [entry.path for entry in self.files]
        if paths != sorted(paths):
            raise ValueError("its files are not sorted by path")
        if len({path.casefold() for path in paths}) != len(paths):
            raise ValueError("names of its files are equal, or differ in case only")
        if MANIFEST not in paths:
            raise ValueError(f"it has no {MANIFEST}")
        for path in paths:
            if path.casefold() in RESERVED:
                raise ValueError(f"it has a file {path}, a reserved name")
        return self

    @model_validator(mode="after")
    def _check_size(self) -> "BundleFiles":
        if len(self.files) > MAX_FILES:
            raise ValueError(f"it has {len(self.files)} files, more than {MAX_FILES}")
        if self.size > MAX_BUNDLE_BYTES:
            raise ValueError(f"it has {self.size} bytes, more than {MAX_BUNDLE_BYTES}")
        if len(self.model_dump_json()) > MAX_RELEASE_BYTES:
            raise ValueError(
                f"the list of its {len(self.files)} files has more than {MAX_RELEASE_BYTES} bytes: shorten their names"
            )
        return self

    @property
    def id(self) -> str:
        """Return name and version."""
        return f"{self.signed.name}@{self.signed.version}"

    @property
    def size(self) -> int:
        """Return the total size of the files in bytes."""
        return sum(entry.length for entry in self.files)

    @property
    def content(self) -> str:
        """Return a hash over all files: the name of the bundle's directory on a device."""
        return hashlib.sha256(file_list(self.files)).hexdigest()


class Release(BundleFiles):
    """The files of one version of a bundle, as a publisher has signed them."""

    signed: ReleaseInfo


class Offer(ReleaseInfo):
    """A release as the source lists it, without its files; `size` is their total size in bytes."""

    size: Annotated[int, Field(ge=0)]

    @property
    def id(self) -> str:
        """Return name and version."""
        return f"{self.name}@{self.version}"


def file_list(files: tuple[FileEntry, ...]) -> bytes:
    """Return the files as text, one line each: hash, length and path."""
    return "".join(f"{entry.sha256} {entry.length} {entry.path}\n" for entry in files).encode()


def parse_file_list(text: bytes) -> list[FileEntry]:
    """Return the files of a `file_list`. Raises ValueError."""
    entries = []
    for line in text.decode("ascii").splitlines():
        sha256, length, path = line.split(" ")
        entries.append(FileEntry(path=path, length=int(length), sha256=sha256))
    return entries


def version_key(version: str) -> tuple[int, ...]:
    """Return the sort key of a version. What teaching appends does not count: that is no newer version of the base."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))


def oldest_perceptd(manifest: Manifest, requested: str) -> str:
    """Return the requested version of perceptd, or the first that reads all keys of the manifest if that is newer."""
    return max([requested, *new_parts(manifest).values()], key=version_key)


def new_parts(manifest: Manifest) -> dict[str, str]:
    """Return the parts of a manifest that old versions of perceptd refuse, each with the first that reads it."""
    parts = {}
    if manifest.label_info:
        parts["label_info"] = LABEL_INFO_SINCE
    if manifest.format == 2:
        parts["format 2"] = FORMAT_2_SINCE
    if manifest.taught is not None:
        parts["taught"] = TAUGHT_SINCE
    return parts
