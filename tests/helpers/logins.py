"""A login whose characters have meanings in URLs and headers, how a URL may write it, and the check of a digest."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote
from urllib.request import parse_http_list, parse_keqv_list

USER, WRITTEN_USER = "front@door", "front%40door"
PASSWORD = "p@s:s/w?o#r%d %41 &+=;'\"\\ ü€"

# all characters are encoded, or only those that a URL must not have in a password
ALL_ENCODED = quote(PASSWORD, safe="")
FEW_ENCODED = "".join(quote(character, safe="") if character in "@/?#%" else character for character in PASSWORD)


def digest_of(authorization: str) -> dict[str, str]:
    """Return the parameters of a header Authorization with a digest. Empty: it has another one."""
    scheme, _, rest = authorization.partition(" ")
    return parse_keqv_list(parse_http_list(rest)) if scheme == "Digest" else {}


def is_right_digest(
    given: Mapping[str, str],
    method: str,
    target: str,
    login: tuple[str, str],
    *,
    challenge: Mapping[str, str] = MappingProxyType({}),
    hash_name: str = "md5",
) -> bool:
    """Return whether this digest of a request has the parameters of the challenge and the login. RFC 7616, 3.4."""
    if not challenge.items() <= given.items():
        return False
    if not {"response", "nonce", "uri", "realm", "username"} <= given.keys() or given["uri"] != target:
        return False
    user, password = login
    if given["username"].encode("latin-1").decode() != user:
        return False
    secret = _hash(hash_name, user, given["realm"], password)
    middle = (given["nc"], given["cnonce"], "auth") if "qop" in given else ()
    expected = _hash(hash_name, secret, given["nonce"], *middle, _hash(hash_name, method, target))
    return given["response"] == expected


def _hash(hash_name: str, *parts: str) -> str:
    return hashlib.new(hash_name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()
