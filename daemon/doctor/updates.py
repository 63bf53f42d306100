"""Checks the source of bundles, and the bundles that were installed from it."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon import __version__
from daemon.bundle.release import Offer, version_key
from daemon.bundle.signature_lifetimes import EXPIRY_DAYS_FIELD, ROLES, days_left, is_urgent, sane_days
from daemon.config.updates import root_problem
from daemon.core.errors import UpdateError, UpdateFault
from daemon.doctor.finding import Finding
from daemon.updates.fetch.main import list_releases
from daemon.updates.messages import ReleaseList, SourceRequest
from daemon.updates.metadata_cache import cached_metadata, copy_cache, valid_until
from daemon.updates.policy import BuiltInBundle, active_id, clock_problem, plausible_seen_time
from daemon.updates.slots import Slots
from daemon.updates.startup import DryStart, StoredBundle
from daemon.updates.state import Refusal, UpdateState
from daemon.updates.steps import ChildRunner, Steps
from daemon.updates.taught_state import TaughtState, version_on

# a daily refresh leaves more; signatures of roles whose keys are elsewhere may come closer to their end
SOON_DAYS = 2.0

# no problem of the source is a failure: the node goes on with the bundle that it has
REMEDIES: dict[UpdateFault, str] = {
    "source": "check the network, models.source in config.yaml, and that its server runs",
    "trust": "ask the publisher; if the repository was made anew, bring its root.json here",
    "disk": "make room, or check that this user may write temporary files",
    "memory": "end other programs, or add swap",
    "clock": "set the clock: until then the source is not checked",
    "bundle": "ask the publisher",
    "waits": "perceptd models list says what it waits for",
}


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the signature of a role expires."""

    role: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The releases of the source, and the signature that expires soon.

    `unread` says why the metadata that the service has seen before could not be read for comparison.
    """

    available: ReleaseList
    expiry: Expiry | None
    unread: str | None


def models_findings(
    source: str, root: Path, directory: Path, built_in: BuiltInBundle, start: DryStart
) -> Iterator[Finding]:
    """Findings of the source, and of the bundles in `directory`."""
    active = None if start.problem is not None else active_id(start.state, built_in)
    yield source_finding(source, root, Slots(directory, 0).metadata, active, start.state.seen_time)
    yield assess_store(start, built_in)


def source_finding(source: str, root: Path, metadata: Path, active: str | None, seen_s: float) -> Finding:
    """Whether the source can be used. Writes nothing into the service's directory `metadata`.

    `active` is the id of the active bundle, if it is known; `seen_s` the latest known wall time.
    """
    if (problem := root_problem(root)) is not None:
        remedy = "bring it here by hand, readable by the user of the service; it is models.root in config.yaml"
        return Finding("models", "warning", problem, remedy)
    seen_s = plausible_seen_time(seen_s, valid_until(metadata))
    if (problem := clock_problem(time.time(), seen_s)) is not None:
        return Finding("models", "warning", problem, REMEDIES["clock"])
    try:
        status = _check_source(source, root, metadata)
    except UpdateError as error:
        return Finding("models", "warning", str(error), REMEDIES[error.kind])
    return assess_source(source, status, active)


def assess_source(source: str, status: SourceStatus, active: str | None) -> Finding:
    """The finding of a source; `active` is the id of the active bundle, if it is known."""
    releases, skipped = status.available.releases, status.available.skipped
    found = f"{source.rstrip('/')}: {len(releases)} bundle{'' if len(releases) == 1 else 's'}"
    if active is not None:
        found += f"; {_newest_text(releases, active)}"
    if skipped:
        found += f"; {len(skipped)} left out: {skipped[0]}"
    if status.unread is not None:
        remedy = "run doctor as the user of the service, which compares the source with what was seen before"
        return Finding("models", "warning", f"{found}; {status.unread}", remedy)
    if status.expiry is not None:
        when = f"{status.expiry.expires:%Y-%m-%d %H:%M} UTC"
        found += f"; its {status.expiry.role} metadata expires {when}"
        remedy = "tell the publisher that perceptd repo refresh does not run there as it should"
        return Finding("models", "warning", found, remedy)
    return Finding("models", "good", found)


def assess_store(start: DryStart, built_in: BuiltInBundle) -> Finding:
    """The finding of the installed bundles."""
    check = "models on disk"
    if start.problem is not None:
        found = f"{start.problem}; {built_in.id} of config.yaml is checked instead"
        remedy = "run doctor as the user of the service; a damaged file is renamed at the next start"
        return Finding(check, "warning", found, remedy)
    for bundle in start.bundles:
        if bundle.damage is not None:
            found = f"{bundle.slot.id}: {bundle.damage}"
            return Finding(check, "warning", found, _damage_remedy(start, built_in, bundle))
    found = _installed_text(start.state, start.taught, built_in)
    if start.taught.waiting is not None:
        found += f"; {start.taught.waiting.id} waits: {start.taught.waiting.reason}"
        remedy = "teach what the message names again, or set teaching.on_update: drop in config.yaml"
        return Finding(check, "warning", found, remedy)
    refusal = _newest_refusal(start.state, active_id(start.state, built_in))
    if refusal is not None:
        found += f"; has given up {refusal.id} in {refusal.stage}: {refusal.reason}"
        remedy = f"tell the publisher, or try it again: perceptd models install {refusal.id.replace('@', ' ')}"
        return Finding(check, "warning", found, remedy)
    return Finding(check, "good", found)


def next_expiry(metadata: Path, now: datetime) -> Expiry | None:
    """The first signature that expires soon, of metadata that was just verified. Raises OSError, ValueError."""
    signed = {role: json.loads(cached_metadata(metadata, role))["signed"] for role in ROLES}
    found = []
    for role in ROLES:
        expires = datetime.strptime(signed[role]["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        days = sane_days(role, signed["root"]["roles"][role].get(EXPIRY_DAYS_FIELD))
        if is_urgent(expires, days, now) and days_left(expires, now) <= SOON_DAYS:
            found.append(Expiry(role, expires))
    return min(found, key=attrgetter("expires"), default=None)


def _check_source(source: str, root: Path, metadata: Path) -> SourceStatus:
    """The status, fetched with a copy of the service's metadata, so that an older state of the source is noticed."""
    try:
        with TemporaryDirectory(prefix="perceptd-") as temporary:
            copy = Path(temporary) / "tuf"
            unread = _copy(metadata, copy)
            request = SourceRequest(source=source, root=str(root), metadata=str(copy), perceptd=__version__)
            releases = Steps(ChildRunner({"list": list_releases}), request, None).list_releases(None)
            return SourceStatus(releases, next_expiry(copy, datetime.now(timezone.utc)), unread)
    except OSError as error:
        raise UpdateError("disk", f"{error.filename or 'temporary files'}: {error.strerror or error}") from error


def _copy(metadata: Path, to: Path) -> str | None:
    """Copy the service's metadata; returns why that is impossible."""
    try:
        copy_cache(metadata, to)
    except FileNotFoundError:
        return None
    except OSError as error:
        shutil.rmtree(to, ignore_errors=True)
        return f"{metadata} cannot be read: {error.strerror or error}"
    return None


def _newest_text(releases: Sequence[Offer], active: str) -> str:
    name = active.partition("@")[0]
    of_name = [offer for offer in releases if offer.name == name]
    if not of_name:
        return f"none of them is {name}, the active bundle"
    newest = max(of_name, key=lambda offer: version_key(offer.version))
    text = f"the newest {name} is {newest.version}"
    if version_key(newest.needs_perceptd) > version_key(__version__):
        return f"{text}, which needs perceptd {newest.needs_perceptd}: this is {__version__}"
    return text


def _installed_text(state: UpdateState, taught: TaughtState, built_in: BuiltInBundle) -> str:
    version = version_on(taught, base := active_id(state, built_in))
    if version is not None and version.slot is not None:
        starts = "" if version.probation is None else f" on probation (starts so far: {version.probation.starts})"
        before = base if version.previous is None else version.previous.id
        return f"{version.slot.id}, which was taught here, is active{starts}; without it {before} runs; both are intact"
    if state.active is None:
        return f"none installed: {built_in.id} of config.yaml is active"
    probation = "" if state.probation is None else f" on probation (starts so far: {state.probation.starts})"
    previous = built_in.id if state.previous is None else state.previous.id
    return f"{state.active.id} is active{probation}, {previous} was active before, both are intact"


def _damage_remedy(start: DryStart, built_in: BuiltInBundle, damaged: StoredBundle) -> str:
    if damaged == start.bundles[0]:
        next_id = built_in.id if start.bundle_to_run is None else start.bundle_to_run.slot.id
        return f"restart perceptd, which then runs {next_id}, and install it again; check the disk or card"
    return "no rollback to it is possible; check the disk or card"


def _newest_refusal(state: UpdateState, active: str) -> Refusal | None:
    """The refusal of the newest version that would replace the active bundle."""
    name, _, version = active.partition("@")
    newer = [
        refusal
        for refusal in state.refused
        if refusal.id.partition("@")[0] == name and _refused_version(refusal) > version_key(version)
    ]
    return max(newer, key=_refused_version, default=None)


def _refused_version(refusal: Refusal) -> tuple[int, ...]:
    return version_key(refusal.id.partition("@")[2])
