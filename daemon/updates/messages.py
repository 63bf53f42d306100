"""What the updater asks of the processes that fetch bundles and try them, and what they answer: a JSON object each."""

import json
from typing import Annotated

from pydantic import BaseModel, Field

from daemon.bundle.manifest import Name, Version
from daemon.bundle.release import MAX_OFFERS, Offer, Release
from daemon.core.document import StrictModel
from daemon.core.errors import UpdateError
from daemon.updates.state import REASON_CHARS

SKIPPED_MOST = 20
"""How many reasons for leaving something out are told; a hostile source has thousands."""

CHECK_S = 60.0
"""For `check`. Importing and loading take 2 s, most of a minute on a small board with a slow card."""

SELFTEST_S = 120.0
"""As `check`, and as long again for the stored cases: a few take 0.1 s, and as many seconds on the slowest board."""


class SourceRequest(StrictModel):
    """Where to look, and whom to trust: a URL, the path of a root.json, the directory of TUF's cache.

    `perceptd` is the version of this program. All that a look at the source needs.
    """

    source: str
    root: str
    metadata: str
    perceptd: str


class ResolveRequest(SourceRequest):
    """One version is looked for."""

    name: Name
    version: Version


class DownloadRequest(SourceRequest):
    """The files of a release are wanted in the directory `into`.

    `have` are directories of the store that may hold some of them. `progress` is the descriptor of 8 bytes of memory,
    which say in little endian how many bytes are there.
    """

    release: Release
    into: str
    have: tuple[str, ...]
    progress: int


class VerifyRequest(StrictModel):
    """The files in `into` are to be on disk, and to be those of the release."""

    release: Release
    into: str


class SelftestRequest(StrictModel):
    """A release's files in a directory are to be tried, with the memory that was declared for it."""

    release: Release
    directory: str
    memory_mb: Annotated[int, Field(ge=1, le=1_000_000)]


class CheckRequest(SelftestRequest):
    """A release's files are to be looked at; `config` is the node's, for which the bundle must be fit."""

    config: str | None = None


class LookResult(StrictModel):
    """The newest versions of every name, by name and version; and why others were left out."""

    releases: Annotated[tuple[Offer, ...], Field(max_length=MAX_OFFERS)]
    skipped: Annotated[tuple[str, ...], Field(max_length=SKIPPED_MOST)]


class ResolveResult(StrictModel):
    """The version that was looked for."""

    release: Release


class DownloadResult(StrictModel):
    """How many bytes came from the source, and how many were there."""

    fetched: int
    reused: int


class VerifyResult(StrictModel):
    """Nothing more is to be said."""


def success(result: BaseModel) -> str:
    """The answer that all went well."""
    return f'{{"ok":true,"result":{result.model_dump_json()}}}'


def failure(error: UpdateError) -> str:
    """The answer that it did not, and why: in one line."""
    reason = "".join(char if char.isprintable() else " " for char in str(error))
    return json.dumps({"ok": False, "kind": error.kind, "reason": " ".join(reason.split())[:REASON_CHARS]})
