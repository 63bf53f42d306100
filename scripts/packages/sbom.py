"""Writes the software bill of materials (CycloneDX 1.6) of a package or image. Equal input gives equal bytes."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daemon.bundle.cyclonedx import document, hashes, licences, properties
from daemon.publisher.artefacts import SBOM_PATH
from daemon.publisher.verification import COMMIT
from packages.libraries import Library, read_libraries
from packages.licences import licence_list

PROGRAM = Path("opt/perceptd")
# beside the SBOM
LICENCES = "licences.md"

# a Debian relation: NAME, or NAME (>= VERSION)
RELATION = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.+-]*)(?:\s*\((?P<versions>[^)]*)\))?$")


@dataclass(frozen=True)
class Product:
    """What an SBOM is about. `commit` is its full hash, `committed_at` its time in seconds since 1970."""

    name: str
    version: str
    architecture: str
    commit: str
    committed_at: int
    kind: str = "application"


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package that is needed (`versions`: which are allowed) or, in an image, installed (`version`)."""

    name: str
    version: str | None = None
    versions: str | None = None


def needed(depends: Sequence[str]) -> list[DebianPackage]:
    """Return the packages of a Depends field, relation by relation. Raises ValueError for what is no relation."""
    packages: dict[str, list[str]] = {}
    for relation in depends:
        match = RELATION.match(relation.strip())
        if match is None:
            raise ValueError(f"expected a relation such as python3 (>= 3.11), found {relation!r}")
        packages.setdefault(match["name"], []).extend([match["versions"]] if match["versions"] else [])
    return [DebianPackage(name, versions=", ".join(versions) or None) for name, versions in sorted(packages.items())]


def installed(status: str) -> list[DebianPackage]:
    """Return the packages of dpkg's file `status`: those that an image brings beside the program."""
    packages = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"^[A-Z][A-Za-z-]*: ", line))
        if fields.get("Status", "").endswith(" installed"):
            packages.append(DebianPackage(fields["Package"], version=fields["Version"]))
    return sorted(packages, key=_debian_name)


def write_evidence(tree: Path, product: Product, wheels: Sequence[Path], packages: Sequence[DebianPackage]) -> Path:
    """Write the SBOM and the list of licences into the tree of an installation; return the path of the SBOM.

    `wheels` are the files that its site-packages is made of. Raises OSError, and ValueError where a library names no
    licence, or comes from no wheel.
    """
    program = tree / PROGRAM
    site_packages = next((program / ".venv/lib").glob("python3.*/site-packages"))
    libraries = read_libraries(site_packages, wheels)
    foreign = [library.name for library in libraries if library.wheel_sha256 is None]
    if foreign:
        raise ValueError(f"{site_packages}: {', '.join(foreign)} come from none of the wheels")
    file = tree / SBOM_PATH
    file.parent.mkdir(exist_ok=True)
    listed = licence_list(libraries, site_packages.relative_to(program))
    file.with_name(LICENCES).write_text(listed, encoding="utf-8")
    file.write_bytes(sbom(product, libraries, packages, list(files_of_others(program))))
    return file


def sbom(
    product: Product, libraries: Sequence[Library], packages: Sequence[DebianPackage], files: Sequence[dict[str, Any]]
) -> bytes:
    """Return the SBOM as JSON. `files` are the components of the program's own directory that others have made.

    Its time is that of the commit, and its serial number follows from its content.
    """
    components = [*map(_python, libraries), *(_debian(package) for package in packages), *files]
    when = datetime.fromtimestamp(product.committed_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return document({"timestamp": when, "component": _product(product)}, components)


def files_of_others(program: Path) -> Iterator[dict[str, Any]]:
    """Yield the components of files that others have made, or that are models: what the browser loads, and bundles."""
    for file in sorted((program / "daemon/web/vendor").glob("*.[jc]s*")):
        yield _file(program, file, "library")
    for file in sorted((program / "models").glob("*/*.tflite")):
        yield _file(program, file, "machine-learning-model")


def _debian_name(package: DebianPackage) -> str:
    return package.name


def _file(program: Path, file: Path, kind: str) -> dict[str, Any]:
    path = str(file.relative_to(program))
    return {
        "type": kind,
        "bom-ref": path,
        "name": path,
        "hashes": hashes(hashlib.sha256(file.read_bytes()).hexdigest()),
    }


def _product(product: Product) -> dict[str, Any]:
    return {
        "type": product.kind,
        "bom-ref": "product",
        "name": product.name,
        "version": product.version,
        "licenses": licences(["Apache-2.0"]),
        "properties": properties({COMMIT: [product.commit], "perceptd:architecture": [product.architecture]}),
    }


def _python(library: Library) -> dict[str, Any]:
    purl = f"pkg:pypi/{library.name}@{library.version}"
    inside = [_inside(purl, component) for component in library.inside]
    inside += [
        {
            "type": "library",
            "bom-ref": f"{purl}#{native.path}",
            "name": native.path,
            "hashes": hashes(native.sha256),
            "licenses": licences([native.licence]),
        }
        for native in library.native
    ]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": library.name,
        "version": library.version,
        "purl": purl,
        "licenses": licences([library.licence]),
    }
    if library.wheel_sha256 is not None:
        component["hashes"] = hashes(library.wheel_sha256)
    return component | ({"components": inside} if inside else {})


def _inside(purl: str, component: dict[str, Any]) -> dict[str, Any]:
    return {"type": "library", "bom-ref": f"{purl}#{component['purl']}"} | component


def _debian(package: DebianPackage) -> dict[str, Any]:
    version = "" if package.version is None else f"@{package.version.replace('+', '%2B').replace(':', '%3A')}"
    purl = f"pkg:deb/debian/{package.name.replace('+', '%2B')}{version}"
    component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": package.name, "purl": purl}
    if package.version is not None:
        component["version"] = package.version
    if package.versions is not None:
        component["properties"] = properties({"perceptd:versions": [package.versions]})
    return component
