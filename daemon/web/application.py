"""The routes of the page, and who may use them."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from bottle import Bottle, HTTPError, HTTPResponse, request

from daemon.core.errors import LocalError
from daemon.core.text import clean
from daemon.web.accounts import Role
from daemon.web.answers import Problem, json_answer, read_arguments
from daemon.web.guard import Trust, host_problem, origin_problem, visit_of
from daemon.web.http_server import LOCAL_ADDRESS
from daemon.web.login import VISIT, Login, Visitor, visit

log = logging.getLogger(__name__)

# who may use a route; anybody: also who is not logged in
Needed: TypeAlias = Literal["anybody", "viewer", "owner"]
Handler: TypeAlias = Callable[..., HTTPResponse]

METHODS = ("GET", "HEAD", "POST")


@dataclass(frozen=True, slots=True)
class Route:
    """A path as bottle writes it, and what answers it: called with the visitor, and with the parts of the path."""

    method: Literal["GET", "POST"]
    path: str
    needs: Needed
    handler: Handler
    # the status of what the daemon refuses
    refused: int = 409


class Application:
    """A WSGI application: the door of the page, before its routes."""

    def __init__(self, routes: Iterable[Route], login: Login, trust: Callable[[], Trust]) -> None:
        self._trust = trust
        self._bottle = Bottle()
        self._bottle.default_error_handler = _error
        for route in routes:
            self._bottle.route(route.path, route.method, _Guarded(route, login))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        trust = self._trust()
        came = visit_of(environ, trust)
        problem = host_problem(came, trust, environ[LOCAL_ADDRESS])
        if problem is not None or came is None:
            return _plain(403, problem or "", environ, start_response)
        if environ["REQUEST_METHOD"] not in METHODS:
            return _plain(405, "expected GET or POST", environ, start_response)
        environ[VISIT] = came
        if came.prefix and environ["PATH_INFO"].startswith(f"{came.prefix}/"):
            environ["PATH_INFO"] = environ["PATH_INFO"][len(came.prefix) :]
        answer: Iterable[bytes] = self._bottle(environ, start_response)
        return answer


class _Guarded:
    """Calls what answers a route, for those who may use it."""

    def __init__(self, route: Route, login: Login) -> None:
        self._route = route
        self._login = login
        # bottle names routes by their functions
        self.__name__ = route.path

    def __call__(self, **parts: str) -> HTTPResponse:
        try:
            visitor = self._login.visitor()
            self._check(visitor)
            if self._route.method == "POST":
                read_arguments()
            return self._route.handler(visitor, **parts)
        except Problem as problem:
            return problem.answer()
        except LocalError as error:
            status = 503 if error.kind == "down" else self._route.refused
            return Problem(status, str(error)).answer()
        except OSError as error:
            log.exception("%s %s failed", self._route.method, self._route.path)
            return Problem(503, f"the page cannot do that now: {error.strerror or error}").answer()

    def _check(self, visitor: Visitor) -> None:
        """Raise Problem where a visitor may not use the route."""
        if self._route.method == "POST":
            origin = request.environ.get("HTTP_ORIGIN")
            if (problem := origin_problem(origin, visit(), is_machine=visitor.is_machine)) is not None:
                raise Problem(403, problem)
        needs = self._route.needs
        if needs == "anybody":
            return
        if visitor.role is None:
            raise self._login.refusal()
        if not _may(visitor.role, needs):
            raise Problem(403, "only the owner may do that; you are logged in as a viewer")


def _may(role: Role, needs: Needed) -> bool:
    return role == "owner" or needs != "owner"


def _error(error: HTTPError) -> bytes:
    """Return the body of an error that bottle raises: an unknown path, a wrong method, or a fault of a handler."""
    if error.exception is not None:
        log.error("%s %s failed", request.method, clean(request.path), exc_info=error.exception)
    reasons = {
        404: "there is no such page",
        405: "this page does not take that",
        500: "the page has failed; see its log",
    }
    answer = json_answer({"reason": reasons.get(error.status_code, "the request cannot be answered")})
    error.content_type = "application/json; charset=utf-8"
    error.set_header("Cache-Control", "no-store")
    body: bytes = answer.body
    return body


def _plain(status: int, reason: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer without bottle."""
    answer = Problem(status, reason).answer()
    body: bytes = b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body
    start_response(answer.status_line, [*answer.headerlist])
    return [body]
