"""What doctor finds of bundles from afar: whether the source answers as it must, and what is kept of it here."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon import __version__
from daemon.bundle.release import Offer, version_key
from daemon.bundle.signature_lifetimes import DEFAULT_DAYS, EXPIRY_DAYS_FIELD, ROLES, days_left, is_urgent
from daemon.config.updates import root_problem
from daemon.core.errors import UpdateError, UpdateFault
from daemon.doctor.finding import Finding
from daemon.updates.fetch.main import look
from daemon.updates.messages import LookResult, SourceRequest
from daemon.updates.policy import BuiltInBundle, active_id, clock_problem
from daemon.updates.slots import Slots
from daemon.updates.startup import DryStart, StoredBundle
from daemon.updates.state import Refusal, UpdateState
from daemon.updates.steps import ChildRunner, Steps

SOON_DAYS = 2.0
"""A refresh that runs every day leaves more; roles whose keys lie elsewhere may come closer, and are not waited for."""

REMEDIES: dict[UpdateFault, str] = {
    "source": "check the network, models.source in config.yaml, and that its server runs",
    "trust": "ask the publisher; if the repository was made anew, bring its root.json here",
    "disk": "make room, or see that this user may write temporary files",
    "memory": "end other programs, or add swap",
    "clock": "set the clock: until then the source is not looked at",
    "bundle": "ask the publisher",
}
"""None is a failure: the node runs on with the bundle it has."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """When what a role has signed counts no more."""

    role: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """What the source has, what of it expires soon, and whether it was compared with what was seen before."""

    found: LookResult
    expiring: Expiry | None
    unseen: str | None


def models_findings(
    source: str, root: Path, directory: Path, built_in: BuiltInBundle, kept: DryStart
) -> Iterator[Finding]:
    """The source, and the store of bundles in `directory`."""
    running = None if kept.trouble is not None else active_id(kept.state, built_in)
    yield source_finding(source, root, Slots(directory, 0).metadata, running, kept.state.seen_time)
    yield judge_store(kept, built_in)


def source_finding(source: str, root: Path, metadata: Path, running: str | None, seen_s: float) -> Finding:
    """What a look at the source gives; nothing in the service's `metadata` is written.

    `running` is the id of the bundle that runs, if that is known, `seen_s` the latest wall time that was seen.
    """
    if (problem := root_problem(root)) is not None:
        remedy = "bring it here by hand, readable by the user of the service; it is models.root in config.yaml"
        return Finding("models", "warning", problem, remedy)
    if (behind := clock_problem(time.time(), seen_s)) is not None:
        return Finding("models", "warning", behind, REMEDIES["clock"])
    try:
        look = _look(source, root, metadata)
    except UpdateError as error:
        return Finding("models", "warning", str(error), REMEDIES[error.kind])
    return judge_look(source, look, running)


def judge_look(source: str, look: Look, running: str | None) -> Finding:
    """From what the source has, and the id of the bundle that runs, if that is known."""
    found = f"{source.rstrip('/')}: {_counted(look.found.releases)}"
    if running is not None:
        found += f"; {_newest_words(look.found.releases, running)}"
    if look.found.skipped:
        found += f"; {len(look.found.skipped)} left out: {look.found.skipped[0]}"
    if look.unseen is not None:
        remedy = "run doctor as the user of the service, to compare the source with what was seen before"
        return Finding("models", "warning", f"{found}; {look.unseen}", remedy)
    if look.expiring is not None:
        when = f"{look.expiring.expires:%Y-%m-%d %H:%M} UTC"
        found += f"; its {look.expiring.role} metadata expires {when}"
        remedy = "tell the publisher that perceptd repo refresh does not run there as it should"
        return Finding("models", "warning", found, remedy)
    return Finding("models", "good", found)


def judge_store(kept: DryStart, built_in: BuiltInBundle) -> Finding:
    """From what is kept here."""
    check = "models on disk"
    if kept.trouble is not None:
        found = f"{kept.trouble}; the config's own {built_in.id} is tried below"
        remedy = "run doctor as the user of the service; where it is damaged, the next start sets it aside"
        return Finding(check, "warning", found, remedy)
    for one in kept.kept:
        if one.damage is not None:
            return Finding(check, "warning", f"{one.slot.id}: {one.damage}", _repair(kept, built_in, one))
    found = _kept_words(kept, built_in)
    refusal = _newer_refused(kept.state, active_id(kept.state, built_in))
    if refusal is not None:
        found += f"; has given up {refusal.id} in {refusal.stage}: {refusal.reason}"
        remedy = f"tell the publisher, or try it again: perceptd models install {refusal.id.replace('@', ' ')}"
        return Finding(check, "warning", found, remedy)
    return Finding(check, "good", found)


def expiring(metadata: Path, now: datetime) -> Expiry | None:
    """What expires first, and soon, of metadata that were just verified. Raises OSError, ValueError."""
    signed = {role: json.loads((metadata / f"{role}.json").read_bytes())["signed"] for role in ROLES}
    found = []
    for role in ROLES:
        expires = datetime.strptime(signed[role]["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        days = signed["root"]["roles"][role].get(EXPIRY_DAYS_FIELD, DEFAULT_DAYS[role])
        if is_urgent(expires, days, now) and days_left(expires, now) <= SOON_DAYS:
            found.append(Expiry(role, expires))
    return min(found, key=lambda one: one.expires, default=None)


def _look(source: str, root: Path, metadata: Path) -> Look:
    """In a directory of its own, with what the service has seen, so that older metadata are noticed."""
    try:
        with TemporaryDirectory(prefix="perceptd-") as temporary:
            seen = Path(temporary) / "tuf"
            unseen = _copy(metadata, seen)
            request = SourceRequest(source=source, root=str(root), metadata=str(seen), perceptd=__version__)
            found = Steps(ChildRunner({"look": look}), request, None).look(lambda: None)
            return Look(found, expiring(seen, datetime.now(timezone.utc)), unseen)
    except OSError as error:
        raise UpdateError("disk", f"{error.filename or 'temporary files'}: {error.strerror or error}") from error


def _copy(metadata: Path, to: Path) -> str | None:
    """What has been seen of the source; or why it cannot be copied."""
    try:
        shutil.copytree(metadata, to, symlinks=True, ignore=shutil.ignore_patterns("tmp*"))
    except FileNotFoundError:
        return None
    except OSError as error:
        shutil.rmtree(to, ignore_errors=True)
        return f"{metadata} cannot be read: {error.strerror or error}"
    return None


def _counted(releases: Sequence[Offer]) -> str:
    return f"{len(releases)} bundle{'' if len(releases) == 1 else 's'}"


def _newest_words(releases: Sequence[Offer], running: str) -> str:
    name = running.partition("@")[0]
    of_name = [offer for offer in releases if offer.name == name]
    if not of_name:
        return f"none of them is {name}, which runs"
    newest = max(of_name, key=lambda offer: version_key(offer.version))
    words = f"{name} {newest.version} is the newest of the running bundle's name"
    if version_key(newest.needs_perceptd) > version_key(__version__):
        return f"{words}, and needs perceptd {newest.needs_perceptd}: this is {__version__}"
    return words


def _kept_words(kept: DryStart, built_in: BuiltInBundle) -> str:
    state = kept.state
    if state.active is None:
        return f"none installed: the config's own {built_in.id} runs"
    trial = "" if state.probation is None else f" on probation (starts since: {state.probation.starts})"
    before = built_in.id if state.previous is None else state.previous.id
    return f"{state.active.id} runs{trial}, {before} is the one before it, both whole"


def _repair(kept: DryStart, built_in: BuiltInBundle, damaged: StoredBundle) -> str:
    if damaged.slot == kept.state.active:
        after = built_in.id if kept.runs is None else kept.runs.slot.id
        return f"restart perceptd, which then runs {after}, and install it again; look after the disk, or its card"
    return "it cannot be gone back to; look after the disk, or its card"


def _newer_refused(state: UpdateState, running: str) -> Refusal | None:
    """The newest version that should run and does not."""
    name, _, version = running.partition("@")
    newer = [
        refusal
        for refusal in state.refused
        if refusal.id.partition("@")[0] == name and version_key(_version(refusal)) > version_key(version)
    ]
    return max(newer, key=lambda refusal: version_key(_version(refusal)), default=None)


def _version(refusal: Refusal) -> str:
    return refusal.id.partition("@")[2]
