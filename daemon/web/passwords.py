"""Hashes of passwords, by scrypt (RFC 7914). Pure, but for the salt."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any

# OWASP's cost for 16 MB: more memory would not fit into a page of 45 MB on a small board
COST = {"n": 1 << 14, "r": 8, "p": 5}
MOST_COST = {"n": 1 << 17, "r": 16, "p": 16}

LEAST_CHARS = 8
MOST_CHARS = 1000

_SALT_BYTES = 16
_HASH_BYTES = 32
_MEMORY_BYTES = 256 << 20


def password_problem(password: str) -> str | None:
    """Return why a new password cannot be used; None if it can."""
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        return f"a password has {LEAST_CHARS} to {MOST_CHARS} characters"
    return None


def hash_password(password: str, cost: Mapping[str, int] = COST) -> dict[str, Any]:
    """Return what is stored of a password: salt, cost and hash."""
    salt = os.urandom(_SALT_BYTES)
    return {**cost, "salt": salt.hex(), "hash": _scrypt(password, salt, cost).hex()}


def is_password(password: str, stored: Mapping[str, Any]) -> bool:
    """Return whether a password is the stored one. Takes a fifth of a second. A damaged record matches nothing."""
    cost = {key: stored.get(key) for key in COST}
    salt, expected = stored.get("salt"), stored.get("hash")
    if not isinstance(salt, str) or not isinstance(expected, str) or len(password) > MOST_CHARS:
        return False
    if not all(isinstance(value, int) and 1 <= value <= MOST_COST[key] for key, value in cost.items()):
        return False
    try:
        return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), cost), bytes.fromhex(expected))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, cost: Mapping[str, Any]) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, dklen=_HASH_BYTES, maxmem=_MEMORY_BYTES, **cost
    )
