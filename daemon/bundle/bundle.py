"""Opens the directory of a bundle: its manifest, copies of its models, and its self-test cases."""

import errno
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from daemon.bundle.encoder_specs import FileName, Number
from daemon.bundle.files import named_files
from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY, Manifest
from daemon.bundle.release import FILE_LIST_NAME, MAX_LISTING_BYTES, parse_file_list
from daemon.core.document import MAX_DOCUMENT_BYTES, Loaded, StrictModel, parse_document
from daemon.core.errors import BundleError, DamagedBundle, DocumentError, ModelError
from daemon.core.files import read_bounded
from daemon.core.sealed import MAX_BYTES, SealedFile

CASES_FILE = "cases.yaml"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest is valid and whose files exist.

    `hashes` has the sha256 of each file that was read so far. `signed` has those that the list of files of an
    installed bundle demands; None: the bundle is one of this machine.
    """

    directory: Path
    loaded: Loaded[Manifest]
    hashes: dict[str, str]
    signed: Mapping[str, str] | None = None
    _copies: dict[str, SealedFile] = field(default_factory=dict, repr=False)

    @property
    def manifest(self) -> Manifest:
        """Return the content of `bundle.yaml`."""
        return self.loaded.document

    def file(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.directory / name

    def model(self, name: str) -> SealedFile:
        """Return the copy of a model or archive, made at the first call. Later changes of the file have no effect.

        Used by the thread that loads the bundle. Raises ModelError; DamagedBundle when the file is not as listed.
        """
        if name not in self._copies:
            copy = _copy_model(self.file(name))
            self.check_signed(name, copy.sha256)
            self._copies[name], self.hashes[name] = copy, copy.sha256
        return self._copies[name]

    def check_signed(self, name: str, sha256: str) -> None:
        """Raises DamagedBundle when a file of an installed bundle has another hash than the listed one."""
        _check_signed(self.file(name), name, sha256, self.signed)

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


def load_bundle(directory: Path, content: str | None = None) -> Bundle:
    """Open a bundle. Raises DocumentError or BundleError, naming file, line and key.

    `content` is the hash of the file list of an installed bundle. Manifest and models are then compared with that list
    as they are read, so that what runs is what was installed. Raises DamagedBundle when they differ.
    """
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such directory; expected a bundle there (see docs/bundle.md)")
    signed = None if content is None else _signed_hashes(directory, content)
    path = directory / MANIFEST
    raw = _read_document(path)
    sha256 = hashlib.sha256(raw).hexdigest()
    _check_signed(path, MANIFEST, sha256, signed)
    bundle = Bundle(directory, parse_document(path, raw, Manifest), {MANIFEST: sha256}, signed)
    for name, key in named_files(bundle.manifest).items():
        if not bundle.file(name).is_file():
            raise bundle.problem(f"no file {name} in {directory}", *key)
    return bundle


def has_cases(bundle: Bundle) -> bool:
    """Return whether a bundle has a self-test. One that no source has signed may lack it."""
    return (bundle.directory / SELFTEST_DIRECTORY / CASES_FILE).is_file()


def load_cases(bundle: Bundle) -> list[tuple[Case, str]]:
    """Return the self-test cases, each with its file, line and key. Raises DocumentError or BundleError."""
    path = bundle.directory / SELFTEST_DIRECTORY / CASES_FILE
    loaded = parse_document(path, _read_document(path), Cases)
    cases = []
    for index, case in enumerate(loaded.document.cases):
        where = loaded.where("cases", index)
        unknown = set(case.scores) - set(bundle.manifest.base_labels)
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


def _read_document(path: Path) -> bytes:
    """Return the content of a document that must be a plain file: opening a FIFO would wait for ever."""
    try:
        return read_bounded(path, MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise DocumentError([f"{path}: cannot be read: {error.strerror or error}"]) from error


def _copy_model(path: Path) -> SealedFile:
    try:
        return SealedFile(path)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ModelError(f"{path}: a model may have {MAX_BYTES} bytes at most") from error
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _signed_hashes(directory: Path, content: str) -> Mapping[str, str]:
    path = directory / FILE_LIST_NAME
    try:
        text = read_bounded(path, MAX_LISTING_BYTES)
        if hashlib.sha256(text).hexdigest() != content:
            raise DamagedBundle(f"{path} is damaged")
        return {entry.path: entry.sha256 for entry in parse_file_list(text)}
    except OSError as error:
        raise DamagedBundle(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DamagedBundle(f"{path} is no list of files") from error


def _check_signed(path: Path, name: str, sha256: str, signed: Mapping[str, str] | None) -> None:
    if signed is not None and signed.get(name) != sha256:
        raise DamagedBundle(f"{path} is damaged: it differs from what was installed")
