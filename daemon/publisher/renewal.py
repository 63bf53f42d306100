"""What a refresh renews, and whether this machine's clock may sign at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.errors import Refused
from daemon.lifetimes import ROLES, is_ahead, is_due
from daemon.publisher.edition import ORDER, Edition, days, file_name
from daemon.publisher.keys import KeyRing


@dataclass(frozen=True, slots=True)
class Plan:
    """Whether root is renewed, and from which role on the others; `troubles` are keys that cannot be read, in words."""

    root: bool
    first: str
    troubles: Sequence[str]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The roles that were renewed, and what hindered others, in words."""

    roles: Sequence[str]
    troubles: Sequence[str]


def plan(edition: Edition, keys: KeyRing, now: datetime) -> Plan:
    """The timestamp is renewed always, others when they are due and can be signed, with all that depends on them."""
    due = [role for role in ROLES[:-1] if _is_due(edition, role, now)]
    needed = [*due, "snapshot"] if "targets" in due and "snapshot" not in due else due
    troubles: list[str] = []
    able = [role for role in needed if _can_sign(edition, role, keys, troubles)]
    first = "timestamp"
    if "snapshot" in able:
        first = next((role for role in ORDER[:-1] if role in due and role in able), first)
    return Plan("root" in able, first, troubles)


def refuse_wrong_clock(edition: Edition, now: datetime) -> None:
    """What it would sign devices might take for expired. Raises Refused."""
    for role in reversed(ROLES):
        document, lifetime = edition.document(role).signed, days(edition.root.signed, role)
        if is_ahead(document.expires, lifetime, now):
            signed = document.expires - timedelta(days=lifetime)
            name = file_name(role, document.version)
            raise Refused(
                f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but {name} was signed on "
                f"{signed:%Y-%m-%d}: set the clock; if it is right, and was wrong then, sign anew with "
                "perceptd repo refresh --clock-is-right, with all keys (--keys)"
            )


def _is_due(edition: Edition, role: str, now: datetime) -> bool:
    return is_due(edition.document(role).signed.expires, days(edition.root.signed, role), now)


def _can_sign(edition: Edition, role: str, keys: KeyRing, troubles: list[str]) -> bool:
    signers = edition.root.signed.roles[role]
    try:
        return len(keys.signers(role, signers.keyids)) >= signers.threshold
    except Refused as error:
        troubles.append(f"{role} is not renewed: {error}")
    except OSError as error:
        troubles.append(f"{role} is not renewed: {error.filename}: {error.strerror}")
    return False
