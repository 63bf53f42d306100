"""A repository of bundles in a directory: published files, staged bundles, and the newest root."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from datetime import datetime, timezone
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Root

from daemon.bundle.files import ML_BOM
from daemon.bundle.release import FileEntry, Release
from daemon.bundle.signature_lifetimes import EXPIRY_DAYS_FIELD, ROLES
from daemon.core.errors import BundleError, Refused
from daemon.publisher.contents import add_release, release_provenance, releases
from daemon.publisher.files import (
    LastSigned,
    Pending,
    Staging,
    copy_to_targets,
    flaws,
    locked,
    make_public_directories,
    restore_files,
    write_provenance,
)
from daemon.publisher.keys import KeyRing
from daemon.publisher.metadata import (
    ORDER,
    Edition,
    empty_edition,
    first_root,
    next_documents,
    next_root,
    read_edition,
)
from daemon.publisher.provenance import signed
from daemon.publisher.status import RefreshResult, plan, refuse_wrong_clock

ROOT = "root.json"
PUBLIC, METADATA, TARGETS = "public", "metadata", "targets"
STAGED, PENDING, LAST = "staged", "pending", "last-signed.json"

# every root is also published, under its version
LOST_ROOT = "copy the newest public/metadata/N.root.json, the one with the highest N, to root.json"


def utc_now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.now(timezone.utc)


class Repository:
    """An existing repository, locked by this process; see `open_repository`."""

    def __init__(self, directory: Path) -> None:
        self.root_file = directory / ROOT
        self.public = directory / PUBLIC
        self.metadata, self.targets = self.public / METADATA, self.public / TARGETS
        self.staging = Staging(directory / STAGED)
        self.last = LastSigned(directory / LAST)
        self.pending = Pending(directory / PENDING, self.metadata, self.root_file, self.last)

    def edition(self) -> Edition:
        """Return the published edition. Raises Refused when it is not the one that was signed last, and OSError."""
        edition = read_edition(self.root_file, self.metadata)
        self.last.refuse_older(edition)
        return edition

    def published(self, release: Release) -> Release | None:
        """Return the published release of the same name and version, if any.

        Its signed facts may differ. Raises BundleError when its files differ.
        """
        there = next((one for one in releases(self.edition().targets.signed) if one.id == release.id), None)
        if there is not None and there.files != _as_published(release, there):
            raise BundleError(
                f"{release.id} is published with other files, and a version never changes: give it a new version"
            )
        return there

    def stage(self, release: Release, bundle: Path) -> None:
        """Stage a bundle for the next `publish`; a bundle that is published already is not staged.

        Raises BundleError when that version is published with other files, and OSError.
        """
        self.staging.remove(release)
        if self.published(release) is None:
            self.staging.add(release, bundle)

    def flaws(self) -> list[str]:
        """Return a message for each published file that is not as it was signed. Raises Refused and OSError."""
        return list(flaws(self.targets, releases(self.edition().targets.signed)))

    def restore_files(self, release: Release, bundle: Path) -> int:
        """Restore the missing and damaged files of a published bundle; return their number.

        Raises BundleError and OSError.
        """
        return restore_files(self.targets, release, bundle)

    def publish(self, keys: KeyRing, now: datetime, commit: str | None = None) -> list[Release]:
        """Sign and publish the staged bundles, each with its provenance; return their releases.

        `commit` is the one that they are made of; None: nobody has said it. Raises Refused and OSError.
        """
        edition = self.edition()
        refuse_wrong_clock(edition, now)
        staged = [release for release in self.staging.releases() if self.published(release) is None]
        if staged:
            targets = deepcopy(edition.targets)
            for release in staged:
                add_release(targets.signed, release)
            following = Edition(edition.root, targets, edition.snapshot, edition.timestamp)
            files = next_documents(following, edition.root, "targets", keys, now)
            for release in staged:
                copy_to_targets(self.targets, release, self.staging.files(release))
                signer = keys.signers("targets", edition.root.signed.roles["targets"].keyids)[0]
                write_provenance(self.targets, release, signed(release_provenance(release, commit), signer))
            self.pending.put(files)
        for release in self.staging.releases():
            self.staging.remove(release)
        return staged

    def refresh(self, keys: KeyRing, now: datetime, *, is_clock_right: bool = False) -> RefreshResult:
        """Renew the timestamp, and every other role that is due and has its keys here.

        `is_clock_right` skips the check of the clock. Raises Refused when the timestamp cannot be signed, or the clock
        is behind the last signatures; and OSError.
        """
        edition = self.edition()
        if not is_clock_right:
            refuse_wrong_clock(edition, now)
        planned = plan(edition, keys, now)
        files: dict[str, bytes] = {}
        root = edition.root
        if planned.root:
            root, files = next_root(edition.root.signed, deepcopy(edition.root.signed), keys, now)
        self.pending.put({**files, **next_documents(edition, root, planned.first, keys, now)})
        renewed = (*(("root",) if planned.root else ()), *ORDER[ORDER.index(planned.first) :])
        return RefreshResult(renewed, planned.troubles)

    def rotate(self, role: str, slot: int, keys: KeyRing, now: datetime) -> list[Path]:
        """Replace the key in the role's slot, counted from 1, by a new one; return the new key's file.

        Raises Refused when there is no such slot, or keys for signing are missing, and OSError.
        """
        edition = self.edition()
        refuse_wrong_clock(edition, now)
        keys.activate(list(edition.root.signed.keys))
        root = deepcopy(edition.root.signed)
        old_ids = root.roles[role].keyids
        if not 1 <= slot <= len(old_ids):
            raise Refused(f"{role} has {len(old_ids)} keys: expected a number from 1 to {len(old_ids)}, found {slot}")
        with keys.new(f"root-{slot}" if role == "root" else role) as public:
            _exchange(root, role, slot, public)
            document, files = next_root(edition.root.signed, root, keys, now)
            if role != "root":
                files |= next_documents(edition, document, role, keys, now)
        self.pending.put(files)
        return keys.activate(list(root.keys))


def _as_published(release: Release, published: Release) -> tuple[FileEntry, ...]:
    """Return the files of a release; without the ML-BOM where a version before 0.8.0 has published it without one."""
    if any(entry.path == ML_BOM for entry in published.files):
        return release.files
    return tuple(entry for entry in release.files if entry.path != ML_BOM)


def _exchange(root: Root, role: str, slot: int, key: SSlibKey) -> None:
    old = root.roles[role].keyids[slot - 1]
    root.roles[role].keyids[slot - 1] = key.keyid
    root.keys[key.keyid] = key
    if not any(old in signers.keyids for signers in root.roles.values()):
        del root.keys[old]


@contextmanager
def open_repository(directory: Path) -> Iterator[Repository]:
    """Lock and open the repository in a directory; first complete an interrupted command.

    Raises Refused when there is none, and OSError.
    """
    if not (directory / ROOT).is_file() and not (directory / PENDING).is_dir():
        if any((directory / PUBLIC / METADATA).glob("*.root.json")):
            raise Refused(f"{directory / ROOT}: is missing: {LOST_ROOT}")
        raise Refused(f"{directory}: is not a repository; create one with perceptd repo init, or name it with --repo")
    with locked(directory):
        repository = Repository(directory)
        repository.pending.finish()
        yield repository


def create_repository(
    directory: Path, keys: KeyRing, root_keys: int, threshold: int, days: Mapping[str, int], now: datetime
) -> Repository:
    """Create a repository; `threshold` of `root_keys` must sign its root, `days` are the lifetimes of each role.

    Raises Refused when there is a repository or a key in the directories, and OSError.
    """
    if not 1 <= threshold <= root_keys:
        raise Refused(f"--threshold {threshold}: expected 1 to {root_keys}, the number of --root-keys")
    directory.mkdir(parents=True, exist_ok=True)
    repository = Repository(directory)
    with locked(directory), ExitStack() as stack:
        _refuse_existing(directory)
        keys.make_directory()
        (directory / STAGED).mkdir(exist_ok=True)
        make_public_directories(repository.public, repository.metadata, repository.targets)
        root = _root(keys, stack, root_keys, threshold, days)
        document, files = first_root(root, keys, now)
        files |= next_documents(empty_edition(document), document, "targets", keys, now)
        repository.pending.put(files)
        keys.activate(list(root.keys))
    return repository


def _refuse_existing(directory: Path) -> None:
    if (directory / ROOT).exists() or (directory / PENDING).exists():
        raise Refused(f"{directory}: is a repository already")
    metadata = directory / PUBLIC / METADATA
    if any(metadata.glob("*.json")):
        raise Refused(
            f"{metadata}: has signed documents, but {directory / ROOT} is missing: {LOST_ROOT}; or create the new "
            "repository in another directory"
        )


def _root(keys: KeyRing, stack: ExitStack, root_keys: int, threshold: int, days: Mapping[str, int]) -> Root:
    root = Root(consistent_snapshot=True)
    for role in ROLES:
        stems = [f"root-{number}" for number in range(1, root_keys + 1)] if role == "root" else [role]
        for stem in stems:
            root.add_key(stack.enter_context(keys.new(stem)), role)
        root.roles[role].threshold = threshold if role == "root" else 1
        root.roles[role].unrecognized_fields[EXPIRY_DAYS_FIELD] = days[role]
    return root
