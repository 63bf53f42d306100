"""The requests that the updater sends to its child processes, and their answers; each is one JSON object."""

import json
from typing import Annotated

from pydantic import BaseModel, Field

from daemon.bundle.encoder_specs import Name
from daemon.bundle.manifest import Version
from daemon.bundle.release import MAX_OFFERS, BundleFiles, Offer, Release
from daemon.core.document import StrictModel
from daemon.core.errors import UpdateError
from daemon.updates.state import REASON_CHARS

# a hostile source may have thousands of targets that are left out
MAX_SKIPPED = 20

# of step `check`: importing and loading take 2 s, and most of a minute on a small board with a slow card
CHECK_S = 60.0

# of step `selftest`: as `check`, plus the stored cases, which take some seconds on the slowest board
SELFTEST_S = 120.0


class SourceRequest(StrictModel):
    """List the releases of a source.

    `source` is its URL, `root` the path of the trusted root.json, `metadata` the directory of TUF's cache.
    `perceptd` is the version of this program.
    """

    source: str
    root: str
    metadata: str
    perceptd: str


class ResolveRequest(SourceRequest):
    """Find the signed release of one version."""

    name: Name
    version: Version


class DownloadRequest(SourceRequest):
    """Fetch the files of a release into the directory `into`.

    `have` are directories of other bundles, which may contain some of the files.
    `progress` is the descriptor of 8 bytes of shared memory: the bytes on disk so far, in little endian.
    """

    release: Release
    into: str
    have: tuple[str, ...]
    progress: int


class VerifyRequest(StrictModel):
    """Flush the files in `into` to disk and compare them with the release."""

    release: Release
    into: str


class SelftestRequest(StrictModel):
    """Run the stored cases of the bundle in `directory` within the memory that was declared for it."""

    release: BundleFiles
    directory: str
    memory_mb: Annotated[int, Field(ge=1, le=1_000_000)]


class CheckRequest(SelftestRequest):
    """Check the bundle in `directory`; `config` is the node's config file, which it must match."""

    config: str | None = None


class ReleaseList(StrictModel):
    """The newest versions of every name, by name and version, and why others are left out."""

    releases: Annotated[tuple[Offer, ...], Field(max_length=MAX_OFFERS)]
    skipped: Annotated[tuple[str, ...], Field(max_length=MAX_SKIPPED)]


class ResolveResult(StrictModel):
    """The release that was requested."""

    release: Release


class DownloadResult(StrictModel):
    """How many bytes were fetched from the source, and how many were on the device already."""

    fetched: int
    reused: int


class VerifyResult(StrictModel):
    """All files are on disk and correct."""


def success(result: BaseModel) -> str:
    """The answer with a result."""
    return f'{{"ok":true,"result":{result.model_dump_json()}}}'


def failure(error: UpdateError) -> str:
    """The answer with an error; its reason is shortened to one line."""
    reason = "".join(char if char.isprintable() else " " for char in str(error))
    return json.dumps({"ok": False, "kind": error.kind, "reason": " ".join(reason.split())[:REASON_CHARS]})
