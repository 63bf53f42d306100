"""`perceptd repo`: makes the repository that devices replace their bundles from, and signs what is in it."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.signature_lifetimes import ROLES
from daemon.core.errors import Refused
from daemon.pipeline.trial import try_bundle
from daemon.publisher.contents import describe_release
from daemon.publisher.keys import KEY_VARIABLE, KeyRing
from daemon.publisher.repository import PUBLIC, ROOT, Repository, create_repository, open_repository, utc_now
from daemon.publisher.status import Report, release_json, release_text, render, report

KEYS = "keys"
"""Where the keys lie in a repository's directory, unless --keys says otherwise."""


def repo_init(options: argparse.Namespace) -> int:
    """Make a repository."""
    directory, days = options.directory, {role: getattr(options, f"{role}_days") for role in ROLES}
    keys = _key_directories(options, directory)
    with _os_errors_told():
        create_repository(directory, KeyRing(keys, os.environ), options.root_keys, options.threshold, days, utc_now())
    signers = f"{options.threshold} of {options.root_keys} root keys must sign"
    paths = {"repository": directory, "public": directory / PUBLIC, "root": directory / ROOT, "keys": keys[0]}
    _say(
        options,
        {name: str(path) for name, path in paths.items()},
        f"{directory}: a repository; {signers} whenever keys change",
        f"serve    {paths['public']}",
        f"devices  {paths['root']}: put it on every device, and name it in config.yaml under models: root",
        f"keys     {paths['keys']}: move root-*.pem to a medium that lies in a safe, with a copy; --keys names it when "
        "needed",
    )
    return 0


def repo_add(options: argparse.Namespace) -> int:
    """Try a bundle, and stage it."""
    bundle = load_bundle(options.bundle)
    with _os_errors_told():
        # the files are looked at first: what is staged is what was tried; the memory need is known after that
        release = describe_release(options.bundle, bundle.manifest, options.needs_perceptd, options.memory_mb or 1)
        with open_repository(options.repo) as repository:
            there = repository.published(release)
            put_back = 0 if there is None else repository.restore_files(there, options.bundle)
        if there is not None:
            words = f"{release_text(there)}; is published already"
            words += f"; {put_back} of its files were missing or damaged, and are back" if put_back else ""
            _say(options, {**release_json(there), "staged": False, "put_back": put_back}, words)
            return 0
        trial = try_bundle(options.bundle)
        memory_mb = options.memory_mb or trial.memory_mb
        release = release.model_copy(update={"signed": release.signed.model_copy(update={"memory_mb": memory_mb})})
        with open_repository(options.repo) as repository:
            repository.stage(release, options.bundle)
    words = (
        f"{release_text(release)}; self-test good in {trial.seconds * 1000:.0f} ms; staged for perceptd repo publish"
    )
    _say(options, {**release_json(release), "staged": True}, words)
    return 0


def repo_publish(options: argparse.Namespace) -> int:
    """Sign what is staged, and show it to devices."""
    with _repository(options) as repository:
        published = repository.publish(_keys(options, options.repo), utc_now())
        found = _report(repository)
    words = [f"published {release_text(release)}" for release in published] or ["nothing new was staged"]
    _say(options, {"published": [release_json(release) for release in published]}, *words)
    _remarks(found)  # all is published: what expires is no failure of this command
    return 0


def repo_refresh(options: argparse.Namespace) -> int:
    """Renew the timestamp, and what else is due."""
    with _repository(options) as repository:
        keys = _keys(options, options.repo)
        refreshed = repository.refresh(keys, utc_now(), is_clock_right=options.clock_is_right)
        found = _report(repository)
    expiries = {role.role: role.expires for role in found.roles if role.role in refreshed.roles}
    _say(options, {"renewed": expiries}, *(f"renewed {role}, until {expires}" for role, expires in expiries.items()))
    for trouble in refreshed.troubles:
        print(trouble, file=sys.stderr)
    return max(_remarks(found), 1 if refreshed.troubles else 0)


def repo_rotate_key(options: argparse.Namespace) -> int:
    """Replace a key by a new one."""
    role = options.role
    with _repository(options) as repository:
        paths = repository.rotate(role, options.number, _keys(options, options.repo), utc_now())
        version = repository.edition().root.signed.version
    where = ", ".join(map(str, paths))
    number = f"_{options.number}" if role == "root" else ""
    words = [
        f"{role} has a new key, {where}; root is at version {version}, which devices find by themselves",
        f"where {KEY_VARIABLE}{role.upper()}{number} or another copy holds the old key, replace it: it signs no more",
    ]
    if role == "root":
        words.append(
            f"move it away, to where root keys are safe; new devices are given {options.repo / ROOT} as it is now"
        )
    _say(options, {"role": role, "keys": [str(path) for path in paths], "root_version": version}, *words)
    return 0


def repo_status(options: argparse.Namespace) -> int:
    """Say what there is, and until when; 1 when anything has expired or soon will."""
    with _repository(options) as repository:
        found = _report(repository)
    _say(options, found.to_json(), *render(found))
    return 1 if found.is_urgent else 0


def _report(repository: Repository) -> Report:
    return report(repository.edition(), repository.staging.releases(), repository.flaws(), utc_now())


def _remarks(found: Report) -> int:
    """What is urgent goes to standard error, which cron mails; 1 if there is anything."""
    for role in (role for role in found.roles if role.is_urgent):
        print(f"{role.role} {role.state}; {role.remedy}", file=sys.stderr)
    for flaw in found.flaws:
        print(flaw, file=sys.stderr)
    return 1 if found.is_urgent else 0


@contextmanager
def _repository(options: argparse.Namespace) -> Iterator[Repository]:
    with _os_errors_told(), open_repository(options.repo) as repository:
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
def _os_errors_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename or 'disk'}: {error.strerror or error}") from error


def _say(options: argparse.Namespace, for_scripts: object, *for_people: str) -> None:
    print(json.dumps(for_scripts, indent=2) if options.json else "\n".join(for_people))
