"""Answers to the login that a web server asks for: basic (RFC 7617) and digest (RFC 7616 and 2617); without I/O."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import unquote

# The algorithms of digest, best first. A server without one means MD5.
ALGORITHMS = {"SHA-256": "sha256", "MD5": "md5"}
SESSION = "-SESS"

CHALLENGE = re.compile(r"(?:^|,)\s*(basic|digest)(?=\s|,|$)(?!\s*=)", re.IGNORECASE)
PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def random_nonce() -> str:
    """Return 16 random hexadecimal digits: the client's part of a digest."""
    return secrets.token_hex(8)


class Login:
    """A user and password for one web server, and the challenge that the server has sent last.

    A digest counts how often it uses the server's nonce, so one object belongs to one camera.
    """

    def __init__(self, user_info: str, make_nonce: Callable[[], str] = random_nonce) -> None:
        """`user_info` is `user:password` of a URL, with its characters in percent encoding."""
        user, _, password = user_info.partition(":")
        self._user, self._password = unquote(user), unquote(password)
        self._make_nonce = make_nonce
        self._challenge: dict[str, str] | None = None
        self._is_basic = False
        self._uses = 0

    def learn(self, challenges: Iterable[str], *, was_refused: bool) -> bool:
        """Take the values of the headers WWW-Authenticate. The best of the known kinds is used from now on.

        Return whether to send the request again. After `was_refused`, a refused answer to a new challenge, only where
        the server says that its nonce had become too old.
        """
        parsed = [each for header in challenges for each in _parse(header)]
        digests = [each for scheme, each in parsed if scheme == "digest" and _is_supported(each)]
        self._challenge = min(digests, key=_rank, default=None)
        self._is_basic = any(scheme == "basic" for scheme, _ in parsed)
        self._uses = 0
        is_stale = self._challenge is not None and self._challenge.get("stale", "").lower() == "true"
        return (self._challenge is not None or self._is_basic) and (is_stale or not was_refused)

    @property
    def is_digest(self) -> bool:
        """Whether the login is sent as a digest, which does not show the password."""
        return self._challenge is not None

    def authorization(self, method: str, target: str) -> str | None:
        """Return the header Authorization for a request. None: the server has asked for no login that is known."""
        if self._challenge is not None:
            self._uses += 1
            return self._digest(self._challenge, method, target)
        if self._is_basic:
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return None

    def _digest(self, challenge: dict[str, str], method: str, target: str) -> str:
        algorithm = challenge.get("algorithm", "MD5")
        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        count, own_nonce = f"{self._uses:08x}", self._make_nonce()
        secret = _hash(algorithm, self._user, realm, self._password)
        if algorithm.upper().endswith(SESSION):
            secret = _hash(algorithm, secret, nonce, own_nonce)
        request = _hash(algorithm, method, target)
        quoted = {"username": self._user, "realm": realm, "nonce": nonce, "uri": target}
        plain = {"algorithm": algorithm} if "algorithm" in challenge else {}
        if "qop" in challenge:
            quoted["response"] = _hash(algorithm, secret, nonce, count, own_nonce, "auth", request)
            quoted["cnonce"] = own_nonce
            plain |= {"qop": "auth", "nc": count}
        else:
            quoted["response"] = _hash(algorithm, secret, nonce, request)
        if "opaque" in challenge:
            quoted["opaque"] = challenge["opaque"]
        parts = [f'{name}="{_escape(value)}"' for name, value in quoted.items()]
        parts += [f"{name}={value}" for name, value in plain.items()]
        # http.client sends header values as Latin-1
        return f"Digest {', '.join(parts)}".encode().decode("latin-1")


def _parse(header: str) -> list[tuple[str, dict[str, str]]]:
    """Return scheme and parameters of each challenge in a header. Several may stand in one."""
    starts = [*CHALLENGE.finditer(header)]
    parsed = []
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(header)
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
            for name, quoted, plain in PARAMETER.findall(header[start.end() : end])
        }
        parsed.append((start[1].lower(), parameters))
    return parsed


def _is_supported(challenge: dict[str, str]) -> bool:
    qualities = challenge.get("qop", "auth").lower().replace(" ", "").split(",")
    return "nonce" in challenge and "auth" in qualities and _algorithm(challenge) in ALGORITHMS


def _rank(challenge: dict[str, str]) -> int:
    return [*ALGORITHMS].index(_algorithm(challenge))


def _algorithm(challenge: dict[str, str]) -> str:
    return challenge.get("algorithm", "MD5").upper().removesuffix(SESSION)


def _hash(algorithm: str, *parts: str) -> str:
    name = ALGORITHMS[algorithm.upper().removesuffix(SESSION)]
    return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
