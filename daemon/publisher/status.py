"""The report on a repository, and the plan of the next renewal. No I/O."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from daemon.bundle.release import Release
from daemon.bundle.signature_lifetimes import ROLES, days_left, is_ahead, is_due, is_urgent
from daemon.core.errors import Refused
from daemon.publisher.contents import releases
from daemon.publisher.keys import KeyRing
from daemon.publisher.metadata import ORDER, Edition, file_name, lifetime_days

# of a key's id in reports: enough to distinguish keys
KEY_ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class RoleReport:
    """One role: the version and expiry of its document, and the keys that must sign it.

    `is_urgent` when it has expired or soon will, or was signed in the future.
    """

    role: str
    version: int
    expires: str
    days_left: float
    lifetime_days: int
    is_urgent: bool
    threshold: int
    keys: Sequence[str]

    @property
    def state(self) -> str:
        """Return the expiry as text."""
        if self.days_left <= 0:
            return f"EXPIRED {-self.days_left:.1f} days ago, on {self.expires}"
        return f"expires in {self.days_left:.1f} of {self.lifetime_days} days, on {self.expires}"

    @property
    def remedy(self) -> str:
        """Return what to do when the role is urgent."""
        if self.days_left > self.lifetime_days:
            return "a clock is or was wrong: set it, or run perceptd repo refresh --clock-is-right where its keys are"
        if self.role == "timestamp":
            return "run perceptd repo refresh, and check the daily job that should run it"
        return f"run perceptd repo refresh where its {'keys are' if self.role == 'root' else 'key is'} (--keys)"


@dataclass(frozen=True, slots=True)
class Report:
    """The report on a repository; `flaws` has a message for each published file that is not as it was signed."""

    published: Sequence[Release]
    staged: Sequence[Release]
    roles: Sequence[RoleReport]
    flaws: Sequence[str]

    @property
    def is_urgent(self) -> bool:
        """Return whether a role has expired or soon will, or a file is damaged."""
        return bool(self.flaws) or any(role.is_urgent for role in self.roles)

    def to_json(self) -> dict[str, Any]:
        """Return the report for scripts."""
        return {
            "published": [release_json(release) for release in self.published],
            "staged": [release_json(release) for release in self.staged],
            "roles": [asdict(role) for role in self.roles],
            "flaws": list(self.flaws),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The roles to renew: root or not, and the others from `first` on; `troubles` are messages for unusable keys."""

    root: bool
    first: str
    troubles: Sequence[str]


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The renewed roles, and a message for each role that could not be renewed."""

    roles: Sequence[str]
    troubles: Sequence[str]


def report(edition: Edition, staged: Sequence[Release], flaws: Sequence[str], now: datetime) -> Report:
    """Return the report on an edition, staged bundles and flaws."""
    return Report(releases(edition.targets.signed), staged, [_role(edition, role, now) for role in ROLES], flaws)


def release_json(release: Release) -> dict[str, Any]:
    """Return one bundle for scripts; `size` in bytes."""
    return {**release.signed.model_dump(), "size": release.size, "files": len(release.files)}


def render(found: Report) -> list[str]:
    """Return the report for people, in lines."""
    lines = [_release_line("published", release) for release in found.published] or ["published  nothing"]
    lines += [_release_line("staged", release) for release in found.staged]
    lines += [line for role in found.roles for line in _role_lines(role)]
    return lines + [f"{'damaged':<9}  {flaw}" for flaw in found.flaws]


def release_text(release: Release) -> str:
    """Return one bundle as text."""
    info = release.signed
    return (
        f"{release.id}: {len(release.files)} files, {release.size / 1024:.0f} KB, needs perceptd "
        f"{info.needs_perceptd} and {info.memory_mb} MB of memory"
    )


def plan(edition: Edition, keys: KeyRing, now: datetime) -> Plan:
    """Return the roles to renew: always the timestamp, others when due and signable, with their dependents."""
    due = [role for role in ROLES[:-1] if _is_due(edition, role, now)]
    needed = [*due, "snapshot"] if "targets" in due and "snapshot" not in due else due
    troubles: list[str] = []
    able = [role for role in needed if _can_sign(edition, role, keys, troubles)]
    first = "timestamp"
    if "snapshot" in able:
        first = next((role for role in ORDER[:-1] if role in due and role in able), first)
    return Plan("root" in able, first, troubles)


def refuse_wrong_clock(edition: Edition, now: datetime) -> None:
    """Raise Refused when the clock is behind the last signatures: devices would take new ones for expired."""
    for role in reversed(ROLES):
        document, lifetime = edition.document(role).signed, lifetime_days(edition.root.signed, role)
        if is_ahead(document.expires, lifetime, now):
            signed = document.expires - timedelta(days=lifetime)
            name = file_name(role, document.version)
            raise Refused(
                f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but {name} was signed on "
                f"{signed:%Y-%m-%d}: set the clock; if it is right now, sign again with "
                "perceptd repo refresh --clock-is-right and all keys (--keys)"
            )


def _release_line(kind: str, release: Release) -> str:
    return f"{kind:<9}  {release_text(release)}"


def _role(edition: Edition, role: str, now: datetime) -> RoleReport:
    document, signers = edition.document(role).signed, edition.root.signed.roles[role]
    lifetime = lifetime_days(edition.root.signed, role)
    return RoleReport(
        role=role,
        version=document.version,
        expires=document.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        days_left=round(days_left(document.expires, now), 2),
        lifetime_days=lifetime,
        is_urgent=is_urgent(document.expires, lifetime, now),
        threshold=signers.threshold,
        keys=list(signers.keyids),
    )


def _role_lines(role: RoleReport) -> list[str]:
    remedy = f"; {role.remedy}" if role.is_urgent else ""
    names = ", ".join(key[:KEY_ID_CHARS] for key in role.keys)
    return [
        f"{role.role:<9}  version {role.version} {role.state}{remedy}",
        f"{'':<9}  {role.threshold} of {len(role.keys)} keys: {names}",
    ]


def _is_due(edition: Edition, role: str, now: datetime) -> bool:
    return is_due(edition.document(role).signed.expires, lifetime_days(edition.root.signed, role), now)


def _can_sign(edition: Edition, role: str, keys: KeyRing, troubles: list[str]) -> bool:
    signers = edition.root.signed.roles[role]
    try:
        return len(keys.signers(role, signers.keyids)) >= signers.threshold
    except Refused as error:
        troubles.append(f"{role} is not renewed: {error}")
    except OSError as error:
        troubles.append(f"{role} is not renewed: {error.filename}: {error.strerror}")
    return False
