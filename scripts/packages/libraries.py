"""Reads what wheels say of themselves: name, version, licence, and the libraries of others that are compiled in."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any

from packages.native import native_licence

# what old wheels call their licences, as SPDX expressions; "BSD License" stays as it is, for it may be any of four
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
}

# of packages whose metadata name less than the text of their licence: NLopt's is that of its strictest part
BY_TEXT = {"nlopt": "LGPL-2.1-or-later"}

# the directory with the program's own metadata
PROGRAM = "perceptd-"

# a longer `License` is the text of a licence, and not its name
MAX_LICENCE_NAME = 40

LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|notice|authors|edl|epl)", re.IGNORECASE)
NATIVE = re.compile(r"\.so(\.|$)")


@dataclass(frozen=True)
class Native:
    """A shared library that a wheel brings: its path, its SHA-256 as it is installed, and its licence."""

    path: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Library:
    """One Python package as it is installed. Paths are relative to its site-packages.

    `licence` is an SPDX expression where the package has one. `wheel_sha256` is of the file that was unpacked.
    `inside` has the components of the SBOMs that the wheel brings, as they stand there.
    """

    name: str
    version: str
    licence: str
    licence_files: tuple[str, ...]
    wheel_sha256: str | None
    native: tuple[Native, ...]
    inside: tuple[dict[str, Any], ...]


def read_libraries(site_packages: Path, wheels: Sequence[Path]) -> list[Library]:
    """Return the packages below a site-packages directory, sorted by name, without the program itself.

    `wheels` are the files that it is made of.

    Raises OSError, and ValueError where a package or a shared library has no known licence.
    """
    hashes = {_wheel_key(wheel): hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    found = [_library(path, hashes) for path in site_packages.glob("*.dist-info") if not path.name.startswith(PROGRAM)]
    return sorted(found, key=_by_name)


def canonical(name: str) -> str:
    """Return the name of a package as package URLs and indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _by_name(library: Library) -> str:
    return library.name


def _wheel_key(wheel: Path) -> tuple[str, str]:
    name, version = wheel.name.split("-")[:2]
    return canonical(name), version


def _library(path: Path, hashes: dict[tuple[str, str], str]) -> Library:
    distribution = PathDistribution(path)
    name, version = canonical(distribution.metadata["Name"]), distribution.version
    files = tuple(sorted(_licence_files(path)))
    return Library(
        name=name,
        version=version,
        licence=_licence(distribution, name),
        licence_files=files,
        wheel_sha256=hashes.get((name, version)),
        native=tuple(_native(path.parent, name)),
        inside=tuple(_inside(path)),
    )


def _licence(distribution: Distribution, name: str) -> str:
    if name in BY_TEXT:
        return BY_TEXT[name]
    metadata = distribution.metadata
    expressions: list[str] = metadata.get_all("License-Expression") or []
    if expressions:
        return expressions[0]
    stated: list[str] = [text.strip() for text in metadata.get_all("License") or []]
    stated += [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if "License ::" in text]
    for text in stated:
        if 0 < len(text) <= MAX_LICENCE_NAME and "\n" not in text:
            return SPDX.get(text, text)
    raise ValueError(f"{name}: its METADATA names no licence")


def _licence_files(path: Path) -> Iterator[str]:
    """Yield the texts of licences that lie in the dist-info directory, where wheels put those of others too."""
    for file in path.rglob("*"):
        inside = file.relative_to(path)
        if (
            file.is_file()
            and file.suffix != ".pyc"
            and (inside.parts[0] == "licenses" or LICENCE_FILE.match(file.name))
        ):
            yield str(file.relative_to(path.parent))


def _native(site_packages: Path, name: str) -> Iterator[Native]:
    """Yield the shared libraries that auditwheel has put beside the package, as they are installed."""
    for directory in site_packages.glob("*.libs"):
        if canonical(directory.name.removesuffix(".libs")) == name:
            for file in sorted(path for path in directory.iterdir() if NATIVE.search(path.name)):
                content = file.read_bytes()
                licence = native_licence(file.name, content)
                yield Native(str(file.relative_to(site_packages)), hashlib.sha256(content).hexdigest(), licence)


def _inside(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what the SBOMs of the wheel (PEP 770) name, each package once, without the wheel itself."""
    seen = set()
    for file in sorted((path / "sboms").glob("*.json")):
        for component in json.loads(file.read_bytes()).get("components", []):
            purl = component.get("purl", "")
            if purl and purl not in seen and not purl.startswith("pkg:pypi/"):
                seen.add(purl)
                yield {
                    key: component[key] for key in ("name", "version", "purl", "licenses", "hashes") if key in component
                }
