"""The schema of `models:` in config.yaml: the source of bundle updates, and when they are installed."""

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from daemon.bundle.encoder_specs import Number
from daemon.core.document import StrictModel
from daemon.core.files import read_bounded

# plain http is safe here: bundles are trusted by their signatures only
SCHEMES = ("https", "http", "file")

# of a root.json; TUF's client has the same limit
MAX_ROOT_BYTES = 512_000

EXPECTED_ROOT = "expected the root.json of the publisher whose bundles are trusted"


def _source(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("expected https://HOST/PATH, http://HOST/PATH or file:///PATH")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError("expected file:/// and an absolute path")
    # reading the port raises ValueError when it is not a number
    if parts.scheme != "file" and (not parts.hostname or parts.port == 0):
        raise ValueError("expected a host")
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without ? and #: file names are appended to it")
    return url


class ModelsConfig(StrictModel):
    """The source of bundle updates, and how they are installed; without a source the bundle of the config is used."""

    source: Annotated[str, Field(max_length=2048), AfterValidator(_source)] | None = None
    root: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    automatic: bool = True
    check_every_h: Annotated[Number, Field(ge=0.01, le=8760)] = 24.0
    quota_mb: Annotated[Number, Field(ge=1, le=1_000_000)] = 500.0

    @model_validator(mode="after")
    def _check_root(self) -> "ModelsConfig":
        if self.source is not None and self.root is None:
            raise ValueError("source needs root: the root.json of the publisher whose signatures are trusted")
        return self

    def with_absolute_paths(self, base: Path) -> "ModelsConfig":
        """Return the config with `root` relative to `base`."""
        return self if self.root is None else self.model_copy(update={"root": str(base / self.root)})


def root_problem(root: Path) -> str | None:
    """Return why a root.json cannot be used, None where it can; its signatures are not checked."""
    try:
        document = json.loads(read_bounded(root, MAX_ROOT_BYTES))
    except OSError as error:
        return f"{root}: cannot be read: {error.strerror or error}; {EXPECTED_ROOT}"
    except (ValueError, RecursionError):
        return f"{root}: is not JSON; {EXPECTED_ROOT}"
    signed = document.get("signed") if isinstance(document, dict) else None
    if not isinstance(signed, dict) or signed.get("_type") != "root" or not document.get("signatures"):
        return f"{root}: is not signed root metadata; {EXPECTED_ROOT}"
    return None
