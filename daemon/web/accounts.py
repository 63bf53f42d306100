"""Who may use the page: passwords of two roles, sessions, tokens of machines, and links that log in once.

Only hashes are stored. A session ends seven days after its latest use, and thirty days after its login.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

from daemon.web.accounts_file import AccountsFile
from daemon.web.attempts import network_of
from daemon.web.passwords import hash_password, is_password

log = logging.getLogger(__name__)

Role: TypeAlias = Literal["owner", "viewer"]
# the role that may do more comes first
ROLES: tuple[Role, ...] = ("owner", "viewer")

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
IDLE_S = 7 * DAY_S
LONGEST_S = 30 * DAY_S
LINK_S = 600.0
# an address from which somebody has logged in counts as known for so long
KNOWN_S = 90 * DAY_S
# the use of a session is written so often
WRITE_EVERY_S = HOUR_S

# of each role
MOST_SESSIONS = 64
MOST_TOKENS = 64
MOST_LINKS = 8
MOST_KNOWN = 64


class Accounts:
    """The users of one page. Thread-safe; other processes may change them too. Methods that store raise OSError."""

    def __init__(self, directory: Path, now_s: Callable[[], float] = time.time) -> None:
        self._file = AccountsFile(directory)
        self._now_s = now_s
        self._lock = threading.Lock()
        # scrypt takes 16 MB and a fifth of a second: one at a time
        self._hashing = threading.Lock()

    def has_password(self) -> bool:
        """Return whether somebody can log in by a password."""
        with self._lock:
            return bool(self._file.content()["passwords"])

    def set_password(self, role: Role, password: str) -> None:
        """Store the password of a role, and end the sessions that were begun by the one before.

        Raises ValueError for the password of another role: each viewer would be an owner.
        """
        if (other := self.role_by_password(password)) not in (None, role):
            raise ValueError(f"the {other} has this password; choose another one for the {role}")
        stored = hash_password(password)
        with self._lock, self._file.change() as content:
            content["passwords"][role] = stored
            content["sessions"] = {key: each for key, each in content["sessions"].items() if each["role"] != role}

    def role_by_password(self, password: str) -> Role | None:
        """Return whose password it is. Takes the same time for each wrong one."""
        with self._lock:
            stored: dict[str, Any] = dict(self._file.content()["passwords"])
        with self._hashing:
            matching = [role for role in ROLES if role in stored and is_password(password, stored[role])]
        return matching[0] if matching else None

    def begin_session(self, role: Role, address: str) -> str:
        """Return the secret of a new session; `address` counts as known from now on."""
        secret, now_s = secrets.token_urlsafe(32), self._now_s()
        with self._lock, self._file.change() as content:
            sessions = {key: each for key, each in content["sessions"].items() if self._lives(each)}
            sessions[_hash(secret)] = {"role": role, "began_s": now_s, "used_s": now_s}
            content["sessions"] = {}
            for each in ROLES:  # viewers do not end the sessions of owners
                of_role = {key: session for key, session in sessions.items() if session["role"] == each}
                content["sessions"] |= _latest(of_role, "used_s", MOST_SESSIONS)
            known = {each: entry for each, entry in content["known"].items() if 0 <= now_s - entry["at_s"] < KNOWN_S}
            content["known"] = _latest(known | {network_of(address): {"at_s": now_s}}, "at_s", MOST_KNOWN)
        return secret

    def role_by_session(self, secret: str) -> Role | None:
        """Return the role of a session that goes on, and note its use."""
        key, now_s = _hash(secret), self._now_s()
        with self._lock:
            session = self._file.content()["sessions"].get(key)
            if session is None or not self._lives(session):
                return None
            if now_s - session["used_s"] >= WRITE_EVERY_S:
                self._note_use(key, now_s)
            role: Role = session["role"]
            return role

    def end_session(self, secret: str) -> None:
        """End one session."""
        with self._lock, self._file.change() as content:
            content["sessions"].pop(_hash(secret), None)

    def end_all_sessions(self) -> int:
        """End all sessions; return how many there were."""
        with self._lock, self._file.change() as content:
            count = len(content["sessions"])
            content["sessions"], content["links"] = {}, {}
        return count

    def is_known(self, address: str) -> bool:
        """Return whether somebody has logged in from this address lately."""
        with self._lock:
            known = self._file.content()["known"].get(network_of(address))
        return known is not None and 0 <= self._now_s() - known["at_s"] < KNOWN_S

    def new_link(self) -> str:
        """Return the secret of a link that logs its first visitor in as the owner, within ten minutes."""
        secret, now_s = secrets.token_urlsafe(32), self._now_s()
        with self._lock, self._file.change() as content:
            content["links"][_hash(secret)] = {"made_s": now_s}
            content["links"] = _latest(content["links"], "made_s", MOST_LINKS)
        return secret

    def use_link(self, secret: str) -> bool:
        """Return whether a link is valid, and use it up."""
        key = _hash(secret)
        with self._lock:
            if key not in self._file.content()["links"]:  # no lock on disk for what anybody can send
                return False
            with self._file.change() as content:
                link = content["links"].pop(key, None)
        return link is not None and bool(0 <= self._now_s() - link["made_s"] < LINK_S)

    def new_token(self, name: str, role: Role) -> str:
        """Return the secret of a machine; an earlier one of this name ends. Raises ValueError with too many."""
        secret = secrets.token_urlsafe(32)
        with self._lock, self._file.change() as content:
            if name not in content["tokens"] and len(content["tokens"]) >= MOST_TOKENS:
                raise ValueError(f"there are {MOST_TOKENS} tokens already; end one of them by --revoke NAME")
            content["tokens"][name] = {"role": role, "hash": _hash(secret)}
        return secret

    def tokens(self) -> dict[str, Role]:
        """Return the names of the machines' tokens, with their roles."""
        with self._lock:
            return {name: each["role"] for name, each in self._file.content()["tokens"].items()}

    def revoke_token(self, name: str) -> bool:
        """End a token; return whether there was one of this name."""
        with self._lock, self._file.change() as content:
            had: object = content["tokens"].pop(name, None)
        return had is not None

    def role_by_token(self, secret: str) -> Role | None:
        """Return the role of a machine."""
        key = _hash(secret)
        with self._lock:
            matching: list[Role] = [
                each["role"]
                for each in self._file.content()["tokens"].values()
                if secrets.compare_digest(each["hash"], key)
            ]
        return matching[0] if matching else None

    def _lives(self, session: dict[str, Any]) -> bool:
        # a clock that was set back must not lengthen a session: it was not begun in the future
        now_s = self._now_s()
        return bool(0 <= now_s - session["used_s"] < IDLE_S and 0 <= now_s - session["began_s"] < LONGEST_S)

    def _note_use(self, key: str, now_s: float) -> None:
        try:
            with self._file.change() as content:
                if key in content["sessions"]:
                    content["sessions"][key]["used_s"] = now_s
        except OSError as error:  # a full disk ends no session before its time
            log.warning("the use of a session could not be written: %s", error)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _latest(entries: dict[str, Any], key: str, most: int) -> dict[str, Any]:
    """Return the `most` entries with the highest value of `key`."""
    ordered = sorted(entries, key=lambda name: entries[name][key])
    return {name: entries[name] for name in ordered[-most:]}
