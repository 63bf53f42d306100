"""Who asks: logging in and out, and the role behind a request."""

import threading
from dataclasses import dataclass

from bottle import HTTPResponse, request

from daemon import __version__
from daemon.core.logs import rate_limited_logger
from daemon.core.timing import monotonic_ns
from daemon.web.accounts import LONGEST_S, Accounts, Role
from daemon.web.answers import Problem, arguments, empty_answer, json_answer
from daemon.web.attempts import Attempts
from daemon.web.guard import Visit

log = rate_limited_logger(__name__)

OLD_LINK = """this link is not valid any more. It is valid once, within ten minutes.
`perceptd page --link` prints another one.
"""

# of one name: those of several paths and of other sites of the host
MOST_COOKIES = 8

# WSGI environ: how the request came
VISIT = "perceptd.visit"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is behind a request. `session` is the secret of a browser's session, `is_machine` says that a token came.

    `by_proxy`: a trusted proxy has logged the visitor in.
    """

    role: Role | None = None
    session: str | None = None
    token: str | None = None
    by_proxy: bool = False

    @property
    def is_machine(self) -> bool:
        """Return whether the request has a token: no browser sends one by itself."""
        return self.token is not None


class Login:
    """Logs in by password or link, and tells who is behind a request. Thread-safe."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._attempts = Attempts(monotonic_ns())
        self._lock = threading.Lock()

    def visitor(self) -> Visitor:
        """Return who is behind the present request. Raises Problem for a token that is none."""
        kind, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() == "bearer":  # a browser sends another kind by itself, to a proxy that asks for a login
            role = self._accounts.role_by_token(token.strip())
            if role is None:
                raise Problem(401, "the token is not valid", {"WWW-Authenticate": "Bearer"}, {"login": "token"})
            return Visitor(role, token=token.strip())
        for secret in _cookies(request.environ.get("HTTP_COOKIE", ""), _cookie_name(visit())):
            if (role := self._accounts.role_by_session(secret)) is not None:
                return Visitor(role, secret)
        if visit().role is not None:
            return Visitor(visit().role, by_proxy=True)
        return Visitor()

    def is_logged_in(self, visitor: Visitor) -> bool:
        """Return whether a visitor who was let in still may be."""
        if visitor.by_proxy:  # the proxy closes the connection
            return True
        if visitor.token is not None:
            return self._accounts.role_by_token(visitor.token) is not None
        return visitor.session is not None and self._accounts.role_by_session(visitor.session) is not None

    def refusal(self) -> Problem:
        """Return the answer to somebody who is not logged in."""
        way = "password" if self._accounts.has_password() else "link"
        reason = (
            "log in" if way == "password" else "log in by the link that `perceptd page --link` prints on the device"
        )
        return Problem(401, reason, more={"login": way})

    def session(self, visitor: Visitor) -> HTTPResponse:
        """Answer who is logged in. Raises Problem when nobody is."""
        if visitor.role is None:
            raise self.refusal()
        has_password = self._accounts.has_password()
        return json_answer({"role": visitor.role, "has_password": has_password, "version": __version__})

    def login(self, visitor: Visitor) -> HTTPResponse:
        """Log in by a password. Raises Problem."""
        password, address = arguments().get("password"), visit().address
        if not isinstance(password, str):
            raise Problem(400, "the password is missing")
        if not self._accounts.has_password():
            raise self.refusal()
        is_known = self._accounts.is_known(address)
        with self._lock:
            wait_s = self._attempts.take(address, monotonic_ns(), is_known=is_known)
        if wait_s > 0:
            seconds = str(int(wait_s) + 1)
            raise Problem(429, f"too many attempts; try again in {seconds} s", {"Retry-After": seconds})
        role = self._accounts.role_by_password(password)
        if role is None:
            log.warning("a wrong password for the page came from %s", address)
            raise Problem(401, "the password is wrong", more={"login": "password"})
        with self._lock:
            self._attempts.give_back(address)
        return self._begin(role, empty_answer(), visitor)

    def use_link(self, secret: str, visitor: Visitor) -> HTTPResponse:
        """Log in by a link that is valid once, or lead an owner who is logged in to the page. Raises Problem."""
        if request.method != "GET":  # a look ahead must not use it up
            raise Problem(400, "expected GET")
        if not self._accounts.use_link(secret):
            if visitor.role == "owner":  # who opens a link twice
                return empty_answer(303, {"Location": "../"})
            # somebody reads this in the place of the page
            return HTTPResponse(
                OLD_LINK, 401, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
            )
        return self._begin("owner", empty_answer(303, {"Location": "../"}), visitor)

    def logout(self, visitor: Visitor) -> HTTPResponse:
        """End the session of a visitor."""
        if visitor.session is not None:
            self._accounts.end_session(visitor.session)
        return self._with_cookie(empty_answer(), "", 0)

    def _begin(self, role: Role, answer: HTTPResponse, before: Visitor) -> HTTPResponse:
        if before.role is not None and before.session is not None:
            self._accounts.end_session(before.session)
        return self._with_cookie(answer, self._accounts.begin_session(role, visit().address), int(LONGEST_S))

    def _with_cookie(self, answer: HTTPResponse, value: str, max_age_s: int) -> HTTPResponse:
        came = visit()
        secure = "; Secure" if came.is_secure else ""
        life = f"Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
        answer.set_header("Set-Cookie", f"{_cookie_name(came)}={value}; Path={came.prefix}/; {life}")
        return answer


def visit() -> Visit:
    """Return how the present request came."""
    found: Visit = request.environ[VISIT]
    return found


def _cookies(header: str, name: str) -> list[str]:
    """Return the values of the cookies of this name. Pure.

    All sites of a host share their cookies, whatever their ports. So some may be invalid, and others have this name.
    """
    pairs = (each.partition("=") for each in header.split(";"))
    return [value.strip().strip('"') for key, _, value in pairs if key.strip() == name][:MOST_COOKIES]


def _cookie_name(came: Visit) -> str:
    # cookies do not distinguish ports, and two nodes may be forwarded to two ports of one localhost
    return f"perceptd_{came.port}"
