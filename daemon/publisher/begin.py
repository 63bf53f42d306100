"""Makes a new repository: directories, keys, and the first edition, which is empty."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Root

from daemon.errors import Refused
from daemon.lifetimes import DAYS, ROLES
from daemon.publisher.edition import before_the_first, first_root, following
from daemon.publisher.keys import KeyRing
from daemon.publisher.lock import locked
from daemon.publisher.repository import LOST_ROOT, METADATA, PENDING, PUBLIC, ROOT, STAGED, Repository
from daemon.publisher.serving import make_served


def begin(
    directory: Path, keys: KeyRing, root_keys: int, threshold: int, days: Mapping[str, int], now: datetime
) -> Repository:
    """Make a repository whose root has so many keys, of which `threshold` must sign; `days` are those of each role.

    Raises Refused when there is one, or any key where new ones are to be written, and OSError.
    """
    if not 1 <= threshold <= root_keys:
        raise Refused(f"--threshold {threshold}: expected 1 to {root_keys}, the number of --root-keys")
    directory.mkdir(parents=True, exist_ok=True)
    repository = Repository(directory)
    with locked(directory), ExitStack() as stack:
        _refuse_another(directory)
        keys.make_directory()
        (directory / STAGED).mkdir(exist_ok=True)
        make_served(repository.public, repository.metadata, repository.targets)
        root = _root(keys, stack, root_keys, threshold, days)
        document, files = first_root(root, keys, now)
        files |= following(before_the_first(document), document, "targets", keys, now)
        repository.pending.put(files)
        keys.settle(list(root.keys))
    return repository


def _refuse_another(directory: Path) -> None:
    if (directory / ROOT).exists() or (directory / PENDING).exists():
        raise Refused(f"{directory}: holds a repository already")
    metadata = directory / PUBLIC / METADATA
    if any(metadata.glob("*.json")):
        raise Refused(
            f"{metadata}: holds signed documents, but {directory / ROOT} is missing: {LOST_ROOT}; or make the new "
            "repository in another directory"
        )


def _root(keys: KeyRing, stack: ExitStack, root_keys: int, threshold: int, days: Mapping[str, int]) -> Root:
    root = Root(consistent_snapshot=True)
    for role in ROLES:
        stems = [f"root-{number}" for number in range(1, root_keys + 1)] if role == "root" else [role]
        for stem in stems:
            root.add_key(stack.enter_context(keys.new(stem)), role)
        root.roles[role].threshold = threshold if role == "root" else 1
        root.roles[role].unrecognized_fields[DAYS] = days[role]
    return root
