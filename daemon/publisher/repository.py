"""A repository of bundles in a directory: what is served, what waits to be published, and the newest root."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timezone
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Root

from daemon.errors import BundleError, Refused
from daemon.publisher.catalogue import add_release, releases
from daemon.publisher.edition import ORDER, Edition, days, following, following_root, read_edition
from daemon.publisher.keys import KeyRing
from daemon.publisher.lifetimes import is_due
from daemon.publisher.pending import Pending
from daemon.publisher.serving import flaws, put_back, serve
from daemon.publisher.staging import Staging
from daemon.release import Release

ROOT = "root.json"
PUBLIC, METADATA, TARGETS = "public", "metadata", "targets"
STAGED, PENDING, LOCK = "staged", "pending", "lock"


def utc_now() -> datetime:
    """By the clock of this machine."""
    return datetime.now(timezone.utc)


class Repository:
    """One that is there and locked by us; see `opened`."""

    def __init__(self, directory: Path) -> None:
        self.root_file = directory / ROOT
        self.public = directory / PUBLIC
        self.targets = self.public / TARGETS
        self.staging = Staging(directory / STAGED)
        self.pending = Pending(directory / PENDING, self.public / METADATA, self.root_file)

    def edition(self) -> Edition:
        """What devices see. Raises Refused when it is not what was signed."""
        return read_edition(self.root_file, self.public / METADATA)

    def published(self, release: Release) -> Release | None:
        """What is published under the release's name and version, if anything.

        Raises BundleError when that has other files; what is signed of the whole may differ.
        """
        there = next((one for one in releases(self.edition().targets.signed) if one.id == release.id), None)
        if there is not None and there.files != release.files:
            raise BundleError(
                f"{release.id} is published with other files, and a version never changes: give the bundle a new one"
            )
        return there

    def stage(self, release: Release, bundle: Path) -> None:
        """Take a bundle that is to be published with the next `publish`.

        Raises BundleError when that version is published with other files, and OSError.
        """
        self.staging.remove(release)
        if self.published(release) is None:
            self.staging.add(release, bundle)

    def flaws(self) -> list[str]:
        """What is not as it was signed among the files of published bundles, in words. Raises Refused and OSError."""
        return list(flaws(self.targets, releases(self.edition().targets.signed)))

    def put_back(self, release: Release, bundle: Path) -> int:
        """Of a published bundle, what is missing or damaged where it is served; gives how many files.

        Raises BundleError and OSError.
        """
        return put_back(self.targets, release, bundle)

    def publish(self, keys: KeyRing, now: datetime) -> list[Release]:
        """Sign all that waits, and show it to devices; gives what it was. Raises Refused and OSError."""
        edition = self.edition()
        waiting = [release for release in self.staging.releases() if self.published(release) is None]
        if waiting:
            targets = deepcopy(edition.targets)
            for release in waiting:
                add_release(targets.signed, release)
            next_one = Edition(edition.root, targets, edition.snapshot, edition.timestamp)
            files = following(next_one, edition.root, "targets", keys, now)
            for release in waiting:
                serve(self.targets, release, self.staging.files(release))
            self.pending.put(files)
        for release in self.staging.releases():
            self.staging.remove(release)
        return waiting

    def refresh(self, keys: KeyRing, now: datetime) -> list[str]:
        """Renew the timestamp, and every other role that is due and whose keys are here; gives the renewed roles.

        Raises Refused when the timestamp cannot be signed, and OSError.
        """
        edition = self.edition()
        files: dict[str, bytes] = {}
        root, renewed = edition.root, []
        if self._renews(edition, "root", keys, now):
            root, files = following_root(edition.root.signed, deepcopy(edition.root.signed), keys, now)
            renewed.append("root")
        first = next((role for role in ORDER[:-1] if self._renews(edition, role, keys, now)), "timestamp")
        self.pending.put({**files, **following(edition, root, first, keys, now)})
        return [*renewed, *ORDER[ORDER.index(first) :]]

    def rotate(self, role: str, slot: int, keys: KeyRing, now: datetime) -> list[Path]:
        """Replace the key in the role's slot, counted from 1, by a new one; gives the new key's file.

        Raises Refused when there is no such slot, or keys to sign it with are missing, and OSError.
        """
        edition = self.edition()
        keys.settle(list(edition.root.signed.keys))
        root = deepcopy(edition.root.signed)
        old_ids = root.roles[role].keyids
        if not 1 <= slot <= len(old_ids):
            raise Refused(f"{role} has {len(old_ids)} keys: expected a number from 1 to {len(old_ids)}, found {slot}")
        with keys.new(f"root-{slot}" if role == "root" else role) as public:
            _exchange(root, role, slot, public)
            document, files = following_root(edition.root.signed, root, keys, now)
            if role != "root":
                files |= following(edition, document, role, keys, now)
        self.pending.put(files)
        return keys.settle(list(root.keys))

    def _renews(self, edition: Edition, role: str, keys: KeyRing, now: datetime) -> bool:
        root = edition.root.signed
        if not is_due(edition.document(role).signed.expires, days(root, role), now):
            return False
        signers = root.roles[role]
        return len(keys.signers(role, signers.keyids)) >= signers.threshold


def _exchange(root: Root, role: str, slot: int, key: SSlibKey) -> None:
    old = root.roles[role].keyids[slot - 1]
    root.roles[role].keyids[slot - 1] = key.keyid
    root.keys[key.keyid] = key
    if not any(old in signers.keyids for signers in root.roles.values()):
        del root.keys[old]


@contextmanager
def opened(directory: Path) -> Iterator[Repository]:
    """The repository in a directory, for us alone; what an interrupted command has left is finished first.

    Raises Refused when there is none, and OSError.
    """
    if not (directory / ROOT).is_file() and not (directory / PENDING).is_dir():
        raise Refused(f"{directory}: holds no repository; make one with perceptd repo init, or name it with --repo")
    with _locked(directory):
        repository = Repository(directory)
        repository.pending.finish()
        yield repository


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Waits for another command that works on it."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
