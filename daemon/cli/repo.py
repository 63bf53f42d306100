"""`perceptd repo`: makes and signs the repository from which devices fetch bundles."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.release import new_parts
from daemon.bundle.signature_lifetimes import ROLES
from daemon.core.errors import Refused
from daemon.pipeline.selftest import measure_bundle
from daemon.publisher.contents import describe_release
from daemon.publisher.keys import KEY_VARIABLE, KeyRing
from daemon.publisher.repository import PUBLIC, ROOT, Repository, create_repository, open_repository, utc_now
from daemon.publisher.status import Report, release_json, release_text, render, report

# the directory of the keys in a repository, unless --keys names another
KEYS = "keys"


def repo(options: argparse.Namespace) -> int:
    """Execute one action on a repository."""
    actions = {
        "init": _init,
        "add": _add,
        "publish": _publish,
        "refresh": _refresh,
        "rotate-key": _rotate_key,
        "status": _status,
    }
    return actions[options.action](options)


def _init(options: argparse.Namespace) -> int:
    """Make a repository and its keys."""
    directory, days = options.directory, {role: getattr(options, f"{role}_days") for role in ROLES}
    keys = _key_directories(options, directory)
    with _os_errors_as_refused():
        create_repository(directory, KeyRing(keys, os.environ), options.root_keys, options.threshold, days, utc_now())
    signers = f"{options.threshold} of {options.root_keys} root keys must sign"
    paths = {"repository": directory, "public": directory / PUBLIC, "root": directory / ROOT, "keys": keys[0]}
    _print(
        options,
        {name: str(path) for name, path in paths.items()},
        f"{directory}: a repository; {signers} whenever keys change",
        f"serve    {paths['public']}",
        f"devices  {paths['root']}: put it on every device, and name it in config.yaml under models: root",
        f"keys     {paths['keys']}: move root-*.pem to a medium that lies in a safe, with a copy; --keys names it when "
        "needed",
    )
    return 0


def _add(options: argparse.Namespace) -> int:
    """Try a bundle and stage it."""
    bundle = load_bundle(options.bundle)
    with _os_errors_as_refused():
        # the files are hashed first, so that the staged files are those that were tried; the trial measures the memory
        release = describe_release(options.bundle, bundle.manifest, options.needs_perceptd, options.memory_mb or 1)
        with open_repository(options.repo) as repository:
            published = repository.published(release)
            put_back = 0 if published is None else repository.restore_files(published, options.bundle)
        if published is not None:
            message = f"{release_text(published)}; is published already"
            message += f"; {put_back} of its files were missing or damaged, and are back" if put_back else ""
            _print(options, {**release_json(published), "staged": False, "put_back": put_back}, message)
            return 0
        measurement = measure_bundle(options.bundle)
        memory_mb = options.memory_mb or measurement.memory_mb
        release = release.model_copy(update={"signed": release.signed.model_copy(update={"memory_mb": memory_mb})})
        with open_repository(options.repo) as repository:
            repository.stage(release, options.bundle)
    selftest = f"self-test good in {measurement.seconds * 1000:.0f} ms"
    lines = [f"{release_text(release)}; {selftest}; staged for perceptd repo publish"]
    if release.signed.needs_perceptd != options.needs_perceptd:
        needs = release.signed.needs_perceptd
        part = next(part for part, since in new_parts(bundle.manifest).items() if since == needs)
        lines.append(
            f"{release.id} has {part}, which versions before {needs} refuse: it needs perceptd {needs} instead of "
            f"{options.needs_perceptd}"
        )
    _print(options, {**release_json(release), "staged": True}, *lines)
    return 0


def _publish(options: argparse.Namespace) -> int:
    """Sign what is staged, so that devices see it."""
    with _repository(options) as repository:
        published = repository.publish(_keys(options, options.repo), utc_now(), options.commit)
        found = _report(repository)
    message = [f"published {release_text(release)}" for release in published] or ["nothing new was staged"]
    _print(options, {"published": [release_json(release) for release in published]}, *message)
    _print_urgent(found)  # everything is published; an expiry is no failure of this command
    return 0


def _refresh(options: argparse.Namespace) -> int:
    """Renew the timestamp, and other signatures that are due."""
    with _repository(options) as repository:
        keys = _keys(options, options.repo)
        refreshed = repository.refresh(keys, utc_now(), is_clock_right=options.clock_is_right)
        found = _report(repository)
    expiries = {role.role: role.expires for role in found.roles if role.role in refreshed.roles}
    _print(options, {"renewed": expiries}, *(f"renewed {role}, until {expires}" for role, expires in expiries.items()))
    for trouble in refreshed.troubles:
        print(trouble, file=sys.stderr)
    return max(_print_urgent(found), 1 if refreshed.troubles else 0)


def _rotate_key(options: argparse.Namespace) -> int:
    """Replace a key by a new one."""
    role = options.role
    with _repository(options) as repository:
        paths = repository.rotate(role, options.number, _keys(options, options.repo), utc_now())
        version = repository.edition().root.signed.version
    where = ", ".join(map(str, paths))
    number = f"_{options.number}" if role == "root" else ""
    message = [
        f"{role} has a new key, {where}; root is at version {version}, which devices find by themselves",
        f"where {KEY_VARIABLE}{role.upper()}{number} or another copy holds the old key, replace it: it signs no more",
    ]
    if role == "root":
        message.append(
            f"move it away, to where root keys are safe; new devices are given {options.repo / ROOT} as it is now"
        )
    _print(options, {"role": role, "keys": [str(path) for path in paths], "root_version": version}, *message)
    return 0


def _status(options: argparse.Namespace) -> int:
    """Print what is published and when its signatures expire; return 1 when anything is urgent."""
    with _repository(options) as repository:
        found = _report(repository)
    _print(options, found.to_json(), *render(found))
    return 1 if found.is_urgent else 0


def _report(repository: Repository) -> Report:
    return report(repository.edition(), repository.staging.releases(), repository.flaws(), utc_now())


def _print_urgent(found: Report) -> int:
    """Print what is urgent to standard error, which cron mails; return 1 if anything is."""
    for role in (role for role in found.roles if role.is_urgent):
        print(f"{role.role} {role.state}; {role.remedy}", file=sys.stderr)
    for flaw in found.flaws:
        print(flaw, file=sys.stderr)
    return 1 if found.is_urgent else 0


@contextmanager
def _repository(options: argparse.Namespace) -> Iterator[Repository]:
    with _os_errors_as_refused(), open_repository(options.repo) as repository:
        yield repository


def _keys(options: argparse.Namespace, directory: Path) -> KeyRing:
    keys = KeyRing(_key_directories(options, directory), os.environ)
    exposed = keys.readable_by_others()
    if exposed:
        print(
            f"{exposed[0]}: other users can read {_count(exposed)}: chmod 600 {exposed[0].parent}/*.pem",
            file=sys.stderr,
        )
    return keys


def _count(exposed: Sequence[Path]) -> str:
    return "this key" if len(exposed) == 1 else f"this key and {len(exposed) - 1} more"


def _key_directories(options: argparse.Namespace, directory: Path) -> Sequence[Path]:
    return options.keys or [directory / KEYS]


@contextmanager
def _os_errors_as_refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename or 'disk'}: {error.strerror or error}") from error


def _print(options: argparse.Namespace, data: object, *lines: str) -> None:
    print(json.dumps(data, indent=2) if options.json else "\n".join(lines))
