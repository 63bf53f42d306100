"""Opens the directory of a bundle: its manifest, the files that it names, and its self-test cases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY, FileName, Manifest, Number
from daemon.core.document import Loaded, StrictModel, load_document
from daemon.core.errors import BundleError

CASES_FILE = "cases.yaml"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest is valid and whose files exist."""

    directory: Path
    loaded: Loaded[Manifest]

    @property
    def manifest(self) -> Manifest:
        """Return the content of `bundle.yaml`."""
        return self.loaded.document

    def file(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.directory / name

    def problem(self, message: str, *key: str | int) -> BundleError:
        """Return an error that names the manifest's line for `key`."""
        return BundleError(f"{self.loaded.where(*key)}: {message}")


class Case(StrictModel):
    """One self-test case: the inputs of a moment and the scores that it must give; see docs/bundle.md."""

    image: FileName | None = None
    audio: FileName | None = None
    text: Annotated[str, Field(max_length=4096)] | None = None
    scores: Annotated[dict[str, Annotated[Number, Field(ge=0, le=1)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_inputs(self) -> "Case":
        if self.image is None and self.audio is None and self.text is None:
            raise ValueError("a case needs at least one of image, audio, text")
        return self


class Cases(StrictModel):
    """The content of `cases.yaml`."""

    cases: Annotated[list[Case], Field(min_length=1, max_length=1000)]


def load_bundle(directory: Path) -> Bundle:
    """Open a bundle. Raises DocumentError or BundleError, naming file, line and key."""
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such directory; expected a bundle there (see docs/bundle.md)")
    bundle = Bundle(directory, load_document(directory / MANIFEST, Manifest))
    for modality, spec in bundle.manifest.modalities.present().items():
        _must_exist(bundle, spec.model, "modalities", modality, "model")
        if spec.edgetpu is not None:
            _must_exist(bundle, spec.edgetpu, "modalities", modality, "edgetpu")
    _must_exist(bundle, bundle.manifest.head.model, "head", "model")
    return bundle


def load_cases(bundle: Bundle) -> list[tuple[Case, str]]:
    """Return the self-test cases, each with its file, line and key. Raises DocumentError or BundleError."""
    loaded = load_document(bundle.directory / SELFTEST_DIRECTORY / CASES_FILE, Cases)
    cases = []
    for index, case in enumerate(loaded.document.cases):
        where = loaded.where("cases", index)
        unknown = set(case.scores) - set(bundle.manifest.labels)
        if unknown:
            raise bundle.problem(f"{where} expects scores of {sorted(unknown)}, which are not here", "labels")
        for name in (case.image, case.audio):
            if name is not None and not case_file(bundle, name).is_file():
                raise bundle.problem(f"{where} names {name}, which is not in {SELFTEST_DIRECTORY}/", "selftest")
        cases.append((case, where))
    return cases


def case_file(bundle: Bundle, name: str) -> Path:
    """Return the path of a self-test input."""
    return bundle.directory / SELFTEST_DIRECTORY / name


def _must_exist(bundle: Bundle, name: str, *key: str) -> None:
    if not bundle.file(name).is_file():
        raise bundle.problem(f"no file {name} in {bundle.directory}", *key)
