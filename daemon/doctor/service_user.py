"""Tests, as root, which files the user of the installed service may use."""

import grp
import json
import os
import pwd
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from daemon.config.bundle_places import OWN_BUNDLES
from daemon.config.places import UNIT_DIRECTORIES, unit_files
from daemon.runtime.child import Child
from daemon.runtime.child_main import Failed

# what an installation creates
USER = "perceptd"

# directories that a setting of the unit hides from the service (systemd.exec(5))
HIDING_SETTINGS = {"ProtectHome": ("/home", "/root", "/run/user"), "PrivateTmp": ("/tmp", "/var/tmp")}  # noqa: S108

# tests of files take milliseconds, unless a share of the network hangs
CHECK_S = 20.0

# of a directory; bundles have some dozens
MAX_FILES = 10_000

# what the service does with a path: reads a file, opens a device, reads all of a directory, writes into it too
Use = Literal["file", "device", "directory", "state"]

# modes of access(2); those of `directory` and `state` are for directories, whose files are read
MODES: dict[Use, int] = {
    "file": os.R_OK,
    "device": os.R_OK | os.W_OK,
    "directory": os.R_OK | os.X_OK,
    "state": os.R_OK | os.W_OK | os.X_OK,
}


@dataclass(frozen=True, slots=True)
class Service:
    """The user and groups of the installed service, and the directories that its unit hides from it."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """A path that the service needs; `where` says what names it. Without an essential one no service starts."""

    where: str
    path: str
    use: Use = "file"
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """A path that the service needs and may not use: what is in the way, and what to do."""

    need: Need
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.need.where}: {self.found}; {self.remedy}"


def find_service(units: Sequence[Path] = UNIT_DIRECTORIES) -> Service | None:
    """Return the installed service; None where this process is not root, or no service is installed."""
    if os.geteuid() != 0:
        return None
    settings: dict[str, str] = {}
    for file in unit_files(units):
        settings |= dict(re.findall(r"^\s*(\w+)\s*=\s*(\S+)\s*$", file.read_text("utf-8", "replace"), re.MULTILINE))
    try:
        account = pwd.getpwnam(settings.get("User", USER))
    except KeyError:
        return None
    hidden = [path for name, paths in HIDING_SETTINGS.items() if settings.get(name) == "yes" for path in paths]
    groups = tuple(os.getgrouplist(account.pw_name, account.pw_gid))
    return Service(account.pw_name, account.pw_uid, account.pw_gid, groups, tuple(hidden))


def denials(service: Service, needs: Sequence[Need]) -> list[Denial]:
    """Return the paths that the service may not use. What does not exist is left out.

    Tests them in a child process with the user and groups of the service. Raises ChildError.
    """
    # a link's own path, and what root finds at its end
    asked = {need.path: (os.path.realpath(need.path), need.use) for need in needs}
    with Child(check_access, json.dumps(asdict(service)), json.dumps(asked)) as child:
        blocked: dict[str, str] = json.loads(child.result(CHECK_S))
    found = []
    for need in needs:
        if (hidden := _hides(service, need.path)) is not None:
            text = f"the unit hides {hidden} from the service, and {need.path} is there"
            remedy = _get_again(need) or f"copy it into /etc/perceptd or /var/lib/{service.user}"
            found.append(Denial(need, text, remedy))
        elif (path := blocked.get(need.path)) is not None:
            found.append(Denial(need, _denial_text(service, need, path), _remedy(service, need, Path(path))))
    return found


def become(service: str) -> None:
    """In a child process of root: take the user and groups of a Service, given as JSON of `asdict`.

    Raises Failed where root may not become another user.
    """
    user = json.loads(service)
    try:
        os.setgroups(user["groups"])
        os.setgid(user["gid"])
        os.setuid(user["uid"])
    except OSError as error:
        raise Failed(f"cannot become user {user['user']}: {error.strerror}") from error


def check_access(service: str, asked: str) -> None:
    """In a child process of root: become the service's user, and print the path in the way of each path, as JSON.

    `asked` has the end of the link and the use of each path. Raises Failed where root may not become another user.
    """
    become(service)
    blocked = {}
    for path, (end, use) in json.loads(asked).items():
        if (found := _blocking_path(Path(path), use) or _blocking_path(Path(end), use)) is not None:
            blocked[path] = found
    print(json.dumps(blocked))  # noqa: T201  (the parent reads it)


def _blocking_path(path: Path, use: Use) -> str | None:
    """Return the first directory or file on the way to a path, or in it, that this process may not use.

    Where a link leads to is not tested.
    """
    for directory in reversed(path.absolute().parents):
        if not os.access(directory, os.X_OK):
            return str(directory) if os.path.lexists(directory) else None
    if path.is_symlink() or not os.path.lexists(path):
        return None
    return next((str(each) for each, mode in _parts(path, use) if not os.access(each, mode)), None)


def _parts(path: Path, use: Use) -> Iterator[tuple[Path, int]]:
    """Yield a path, and of a directory all that it holds, with the access that is needed."""
    yield path, MODES[use]
    if use not in ("directory", "state"):
        return
    count = 0
    for parent, directories, files in os.walk(path):
        for names, mode in ((directories, MODES[use]), (files, MODES["file"])):
            for name in names:
                yield Path(parent, name), mode
                count += 1
        if count > MAX_FILES:
            return


def _hides(service: Service, path: str) -> str | None:
    real = os.path.realpath(path)
    return next((hidden for hidden in service.hidden if Path(real).is_relative_to(hidden)), None)


def _denial_text(service: Service, need: Need, path: str) -> str:
    verb = "read" if need.use != "device" else "use"
    if path == need.path:
        return f"the service's user {service.user} may not {verb} {path}"
    return f"the service's user {service.user} may not {verb} {need.path}, because of {path}"


def _remedy(service: Service, need: Need, path: Path) -> str:
    if Path(need.path) != path and Path(os.path.realpath(need.path)).is_relative_to(path) and path.is_dir():
        return _get_again(need) or f"copy it to where {service.user} may read it, such as /etc/perceptd"
    if need.use == "device":
        return f"sudo usermod -aG {_name_of_group(path.stat().st_gid)} {service.user}, and restart the service"
    if need.use == "state":
        return f"sudo chown -R {service.user}: {need.path}"
    group, every = _name_of_group(service.gid), " -R" if need.use == "directory" else ""
    return f"sudo chgrp{every} {group} {need.path}; sudo chmod{every} {'g+rX' if every else 'g+r'} {need.path}"


def _get_again(need: Need) -> str | None:
    """Return how to get the same bundle for the service, if the path is that of a person's bundle."""
    place, name = os.path.split(need.path)
    return f"get it for the service: sudo perceptd bundle get {name}" if place.endswith(OWN_BUNDLES) else None


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
