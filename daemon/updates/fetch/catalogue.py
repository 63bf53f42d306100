"""What a source offers, from the names of its signed targets: whole bundles, and why others are left out. No I/O.

A signature says who wrote a name, not that it is harmless: what is no plain file of one bundle spoils that bundle.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from daemon.bundle.manifest import MANIFEST, Name, Version
from daemon.bundle.release import FileEntry, Release, ReleaseInfo, version_key
from daemon.core.errors import UpdateError

SHOWN_CHARS = 80
"""How much of a name from afar is told."""

TOLD_MOST = 5
"""How many versions are told to somebody who asked for another."""

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


@dataclass(frozen=True)
class Target:
    """One signed file; `sha256` is None where it was signed with other hashes only, `length` is in bytes."""

    path: str
    length: int
    sha256: str | None
    custom: object


@dataclass(frozen=True)
class Catalogue:
    """Releases by id; and by id or by the target's name, why it is none."""

    releases: Mapping[str, Release]
    skipped: Mapping[str, str]


def catalogue(targets: Iterable[Target]) -> Catalogue:
    """All bundles that are whole and harmless."""
    bundles: dict[tuple[str, str], dict[str, Target]] = defaultdict(dict)
    releases: dict[str, Release] = {}
    skipped: dict[str, str] = {}
    for target in targets:
        place = _place(target.path)
        if place is None:
            skipped[_shown(target.path)] = "belongs to no bundle: expected NAME/VERSION/FILE"
        else:
            bundles[place[:2]][place[2]] = target
    for (name, version), files in bundles.items():
        try:
            releases[f"{name}@{version}"] = _release(name, version, files)
        except _Unusable as unusable:
            skipped[f"{name}@{version}"] = str(unusable)
    return Catalogue(releases, skipped)


def newest(releases: Iterable[Release], most: int) -> list[Release]:
    """So many of them by name and version: of every name the newest first, so that no name pushes another out."""
    by_name: dict[str, list[Release]] = defaultdict(list)
    for release in releases:
        by_name[release.signed.name].append(release)
    ranked = [pair for of_name in by_name.values() for pair in enumerate(sorted(of_name, key=_age))]
    chosen = sorted(ranked, key=lambda pair: (pair[0], pair[1].signed.name))[:most]
    return sorted(
        (release for _, release in chosen), key=lambda one: (one.signed.name, version_key(one.signed.version))
    )


def choose(offered: Catalogue, name: str, version: str, perceptd: str) -> Release:
    """One version that this version of the program can run. Raises UpdateError, which says why there is none."""
    wanted = f"{name}@{version}"
    if wanted in offered.skipped:
        raise UpdateError("bundle", f"{wanted} {offered.skipped[wanted]}")
    if wanted not in offered.releases:
        raise UpdateError("source", f"the source has no {wanted}; it has {_told(offered, name)}")
    release = offered.releases[wanted]
    if version_key(release.signed.needs_perceptd) > version_key(perceptd):
        raise UpdateError("bundle", f"{wanted} needs perceptd {release.signed.needs_perceptd}; this is {perceptd}")
    return release


class _Unusable(Exception):
    """Why a version is left out, in words that follow its id."""


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
        raise _Unusable(f"cannot be: {_why(error)}") from error


def _entry(path: str, target: Target) -> FileEntry:
    if target.sha256 is None:
        raise _Unusable(f"has a file {_shown(path)} that was signed without its sha256")
    try:
        return FileEntry(path=path, length=target.length, sha256=target.sha256)
    except ValidationError as error:
        if any(problem["loc"] == ("path",) for problem in error.errors()):
            raise _Unusable(f"has a file {_shown(path)}, which is not a plain name") from error
        raise _Unusable(f"has a file {_shown(path)} that cannot be: {_why(error)}") from error


def _signed(custom: object) -> ReleaseInfo:
    told = custom.get("perceptd") if isinstance(custom, dict) else None
    if told is None:
        raise _Unusable(f"has no custom.perceptd at its {MANIFEST}: it was not published for this program")
    try:
        return ReleaseInfo.model_validate(told)
    except ValidationError as error:
        raise _Unusable(f"has a custom.perceptd that cannot be: {_why(error)}") from error


def _place(path: str) -> tuple[str, str, str] | None:
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


def _why(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else problem["msg"].removeprefix("Value error, ")


def _age(release: Release) -> tuple[int, ...]:
    return tuple(-part for part in version_key(release.signed.version))


def _told(offered: Catalogue, name: str) -> str:
    of_name = [release for release in offered.releases.values() if release.signed.name == name]
    known: Sequence[Release] = of_name or list(offered.releases.values())
    ids = [release.id for release in sorted(known, key=_age)]
    more = f" and {len(ids) - TOLD_MOST} more" if len(ids) > TOLD_MOST else ""
    return ", ".join(ids[:TOLD_MOST]) + more if ids else "nothing that can be used"


def _shown(name: str) -> str:
    return ascii(name[:SHOWN_CHARS])
