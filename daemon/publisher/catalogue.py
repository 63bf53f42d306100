"""From bundles to the targets that are signed, and back. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from tuf.api.metadata import TargetFile, Targets

from daemon.publisher.contents import target_name
from daemon.release import MANIFEST, FileEntry, Release, Signed, version_key

CUSTOM = "perceptd"
"""Below `custom` of the manifest's target."""


def add_release(targets: Targets, release: Release) -> None:
    """Every file becomes a target; the manifest's says what the whole is."""
    for entry in release.files:
        name = target_name(release, entry)
        more = {"custom": {CUSTOM: release.signed.model_dump()}} if entry.path == MANIFEST else {}
        targets.targets[name] = TargetFile(entry.length, {"sha256": entry.sha256}, name, more)


def releases(targets: Targets) -> list[Release]:
    """All that was published, in the order of names and versions."""
    files = defaultdict(list)
    signed = {}
    for name, target in targets.targets.items():
        bundle, version, path = name.split("/", 2)
        files[bundle, version].append(FileEntry(path=path, length=target.length, sha256=target.hashes["sha256"]))
        if path == MANIFEST:
            signed[bundle, version] = Signed.model_validate(target.custom[CUSTOM])
    return in_order(
        Release(signed=signed[key], files=tuple(sorted(entries, key=lambda entry: entry.path)))
        for key, entries in files.items()
    )


def in_order(unordered: Iterable[Release]) -> list[Release]:
    """By name, then version."""
    return sorted(unordered, key=lambda release: (release.signed.name, version_key(release.signed.version)))
