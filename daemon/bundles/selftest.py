"""The stored cases of a bundle's self-test."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from daemon.bundles.load import Bundle
from daemon.documents import Document, load_document
from daemon.manifest import FileName, Number

DIRECTORY = "selftest"
CASES = "cases.yaml"


class Case(Document):
    """One moment and the scores it must give; see docs/bundle.md."""

    image: FileName | None = None
    audio: FileName | None = None
    text: Annotated[str, Field(max_length=4096)] | None = None
    scores: Annotated[dict[str, Annotated[Number, Field(ge=0, le=1)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _not_empty(self) -> "Case":
        if self.image is None and self.audio is None and self.text is None:
            raise ValueError("a case needs at least one of image, audio, text")
        return self


class Cases(Document):
    """A whole `cases.yaml`."""

    cases: Annotated[list[Case], Field(min_length=1, max_length=1000)]


def load_cases(bundle: Bundle) -> list[tuple[Case, str]]:
    """The cases of a bundle, each with where it stands. Raises DocumentError or BundleError."""
    loaded = load_document(bundle.directory / DIRECTORY / CASES, Cases)
    cases = []
    for index, case in enumerate(loaded.document.cases):
        where = loaded.where("cases", index)
        strangers = set(case.scores) - set(bundle.manifest.labels)
        if strangers:
            raise bundle.problem(f"{where} expects scores of {sorted(strangers)}, which are not here", "labels")
        for name in (case.image, case.audio):
            if name is not None and not case_file(bundle, name).is_file():
                raise bundle.problem(f"{where} names {name}, which is not in {DIRECTORY}/", "selftest")
        cases.append((case, where))
    return cases


def case_file(bundle: Bundle, name: str) -> Path:
    """The path of a stored input."""
    return bundle.directory / DIRECTORY / name
