"""Turns the signed targets of a source into releases of bundles, and says why others are left out. No I/O.

A signature says who wrote a file name, not that the name is harmless. A target with an unsafe name makes its bundle
unusable, and no other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from daemon.bundle.encoder_specs import Name
from daemon.bundle.manifest import MANIFEST, Version
from daemon.bundle.release import FileEntry, Release, ReleaseInfo, version_key
from daemon.core.errors import UpdateError

# of a name from the source, in a message
SHOWN_CHARS = 80

# ids in the message for a version that the source does not have
MAX_IDS_SHOWN = 5

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


@dataclass(frozen=True)
class Target:
    """One signed file. `length` is in bytes; `sha256` is None if the file was signed with other hashes only."""

    path: str
    length: int
    sha256: str | None
    custom: object


@dataclass(frozen=True)
class Catalogue:
    """The usable releases by id. `skipped` has the reason for each unusable one, by id or by the target's name."""

    releases: Mapping[str, Release]
    skipped: Mapping[str, str]


def build_catalogue(targets: Iterable[Target]) -> Catalogue:
    """Group the targets into bundles, and check each bundle."""
    bundles: dict[tuple[str, str], dict[str, Target]] = defaultdict(dict)
    releases: dict[str, Release] = {}
    skipped: dict[str, str] = {}
    for target in targets:
        parts = _split(target.path)
        if parts is None:
            skipped[_shown(target.path)] = "belongs to no bundle: expected NAME/VERSION/FILE"
        else:
            bundles[parts[:2]][parts[2]] = target
    for (name, version), files in bundles.items():
        try:
            releases[f"{name}@{version}"] = _release(name, version, files)
        except _Unusable as unusable:
            skipped[f"{name}@{version}"] = str(unusable)
    return Catalogue(releases, skipped)


def newest_releases(releases: Iterable[Release], most: int) -> list[Release]:
    """At most `most` releases, sorted by name and version.

    The newest version of every name is selected before second versions are, so that no name displaces another.
    """
    by_name: dict[str, list[Release]] = defaultdict(list)
    for release in releases:
        by_name[release.signed.name].append(release)
    ranked = [pair for of_name in by_name.values() for pair in enumerate(_newest_first(of_name))]
    selected = sorted(ranked, key=lambda pair: (pair[0], pair[1].signed.name))[:most]
    return sorted((release for _, release in selected), key=lambda release: (release.signed.name, _version_of(release)))


def select_release(catalogue: Catalogue, name: str, version: str, perceptd: str) -> Release:
    """The release of one version. Raises UpdateError if there is none that this version of perceptd can run."""
    bundle = f"{name}@{version}"
    if bundle in catalogue.skipped:
        raise UpdateError("bundle", f"{bundle} {catalogue.skipped[bundle]}")
    if bundle not in catalogue.releases:
        raise UpdateError("source", f"the source has no {bundle}; it has {_available_text(catalogue, name)}")
    release = catalogue.releases[bundle]
    if version_key(release.signed.needs_perceptd) > version_key(perceptd):
        raise UpdateError("bundle", f"{bundle} needs perceptd {release.signed.needs_perceptd}; this is {perceptd}")
    return release


class _Unusable(Exception):
    """A version is left out; the message continues a sentence that begins with its id."""


def _release(name: str, version: str, files: Mapping[str, Target]) -> Release:
    entries = tuple(_entry(path, files[path]) for path in sorted(files))
    if MANIFEST not in files:
        raise _Unusable(f"has no {MANIFEST}")
    signed = _signed(files[MANIFEST].custom)
    if (signed.name, signed.version) != (name, version):
        raise _Unusable(f"was signed as {signed.name}@{signed.version}")
    try:
        return Release(signed=signed, files=entries)
    except ValidationError as error:
        raise _Unusable(f"is invalid: {_first_problem(error)}") from error


def _entry(path: str, target: Target) -> FileEntry:
    if target.sha256 is None:
        raise _Unusable(f"has a file {_shown(path)} that was signed without its sha256")
    try:
        return FileEntry(path=path, length=target.length, sha256=target.sha256)
    except ValidationError as error:
        if any(problem["loc"] == ("path",) for problem in error.errors()):
            raise _Unusable(f"has a file {_shown(path)}, which is not a plain name") from error
        raise _Unusable(f"has an invalid file {_shown(path)}: {_first_problem(error)}") from error


def _signed(custom: object) -> ReleaseInfo:
    signed = custom.get("perceptd") if isinstance(custom, dict) else None
    if signed is None:
        raise _Unusable(f"has no custom.perceptd at its {MANIFEST}: it was not published for perceptd")
    try:
        return ReleaseInfo.model_validate(signed)
    except ValidationError as error:
        raise _Unusable(f"has an invalid custom.perceptd: {_first_problem(error)}") from error


def _split(path: str) -> tuple[str, str, str] | None:
    parts = path.split("/", 2)
    if len(parts) != 3 or not path.isascii() or not _fits(_NAME, parts[0]) or not _fits(_VERSION, parts[1]):
        return None
    return parts[0], parts[1], parts[2]


def _fits(adapter: TypeAdapter[str], value: str) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else problem["msg"].removeprefix("Value error, ")


def _newest_first(releases: Iterable[Release]) -> list[Release]:
    return sorted(releases, key=_version_of, reverse=True)


def _version_of(release: Release) -> tuple[int, ...]:
    return version_key(release.signed.version)


def _available_text(catalogue: Catalogue, name: str) -> str:
    of_name = [release for release in catalogue.releases.values() if release.signed.name == name]
    listed: Sequence[Release] = of_name or list(catalogue.releases.values())
    ids = [release.id for release in _newest_first(listed)]
    more = f" and {len(ids) - MAX_IDS_SHOWN} more" if len(ids) > MAX_IDS_SHOWN else ""
    return ", ".join(ids[:MAX_IDS_SHOWN]) + more if ids else "nothing that can be used"


def _shown(name: str) -> str:
    return ascii(name[:SHOWN_CHARS])
