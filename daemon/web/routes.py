"""What the page answers, by path. Most of it is what the daemon answers on its local socket."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bottle import HTTPResponse, request

from daemon.web import config_file
from daemon.web.answers import Problem, arguments, json_answer, number, queries
from daemon.web.application import Route
from daemon.web.daemon_link import Daemon
from daemon.web.followers import Followers
from daemon.web.http_server import CONNECTION
from daemon.web.login import Login, Visitor
from daemon.web.static_files import INDEX, StaticFiles

EVENT = "<event:re:[0-9A-Za-z_-]{1,64}>"
COMMAND = "<name:re:[a-z_]{1,40}>"


class PageRoutes:
    """The page itself, and logging in."""

    def __init__(self, files: StaticFiles, login: Login) -> None:
        self._files = files
        self._login = login

    def routes(self) -> Iterator[Route]:
        """Yield the routes."""
        yield Route("GET", "/", "anybody", self._index)
        yield Route("GET", "/<folder:re:static|vendor>/<name:path>", "anybody", self._file)
        yield Route("GET", "/link/<secret:re:[0-9A-Za-z_-]{1,100}>", "anybody", self._link)
        yield Route("GET", "/api/session", "anybody", self._login.session)
        yield Route("POST", "/api/login", "anybody", self._login.login)
        yield Route("POST", "/api/logout", "anybody", self._login.logout)

    def _index(self, _visitor: Visitor) -> HTTPResponse:
        return self._files.answer(INDEX)

    def _file(self, _visitor: Visitor, folder: str, name: str) -> HTTPResponse:
        return self._files.answer(f"{folder}/{name}")

    def _link(self, visitor: Visitor, secret: str) -> HTTPResponse:
        return self._login.use_link(secret, visitor)


class DaemonRoutes:
    """What the daemon tells and does."""

    def __init__(self, daemon: Daemon, followers: Followers, login: Login) -> None:
        self._daemon = daemon
        self._followers = followers
        self._login = login

    def routes(self) -> Iterator[Route]:
        """Yield the routes."""
        yield Route("GET", "/api/follow", "viewer", self._follow)
        yield Route("GET", "/api/describe", "viewer", self._describe)
        yield Route("GET", "/api/topics", "viewer", self._topics)
        yield Route("GET", "/api/days", "viewer", self._days)
        yield Route("GET", "/api/events", "viewer", self._events)
        yield Route("GET", f"/api/events/{EVENT}", "viewer", self._event, refused=404)
        yield Route("GET", "/api/log", "owner", self._log)
        yield Route("POST", f"/api/events/{EVENT}/judge", "owner", self._judge)
        yield Route("POST", f"/api/events/{EVENT}/keep", "owner", self._keep)
        yield Route("POST", f"/api/command/{COMMAND}", "owner", self._command)
        yield Route("POST", "/api/reload", "owner", self._reload)
        yield Route("POST", "/api/doctor", "owner", self._doctor)

    def _follow(self, visitor: Visitor) -> HTTPResponse:
        if visitor.role is None or not self._followers.enter(visitor.role):
            raise Problem(503, "too many browsers look at this node now", {"Retry-After": "30"})
        request.environ[CONNECTION].expect_within(None)
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return HTTPResponse(
            self._followers.stream(visitor.role, partial(self._login.is_logged_in, visitor)), 200, headers
        )

    def _describe(self, _visitor: Visitor) -> HTTPResponse:
        told = self._daemon.ask("describe").result
        # the section `page` of the config is for the process of the page alone
        return json_answer({key: value for key, value in told.items() if key != "page"})

    def _topics(self, _visitor: Visitor) -> HTTPResponse:
        return self._ask("topics")

    def _days(self, _visitor: Visitor) -> HTTPResponse:
        return self._ask("history_days")

    def _events(self, _visitor: Visitor) -> HTTPResponse:
        asked = queries()
        wanted: dict[str, Any] = {key: asked[key] for key in ("day", "stream", "label") if key in asked}
        for key in ("before", "limit"):
            if (value := number(asked.get(key), key)) is not None:
                wanted[key] = value
        return self._ask("history_list", **wanted)

    def _event(self, _visitor: Visitor, event: str) -> HTTPResponse:
        return self._ask("history_show", event=event)

    def _log(self, _visitor: Visitor) -> HTTPResponse:
        return self._ask("log", after=number(queries().get("after"), "after") or 0)

    def _judge(self, _visitor: Visitor, event: str) -> HTTPResponse:
        given = arguments()
        return self._ask("judge", event=event, answer=given.get("answer"), label=given.get("label"))

    def _keep(self, _visitor: Visitor, event: str) -> HTTPResponse:
        return self._ask("history_keep", event=event, on=arguments().get("on", True))

    def _command(self, _visitor: Visitor, name: str) -> HTTPResponse:
        result = self._daemon.ask("command", name=name, arguments=arguments()).result
        return json_answer(result.get("answer"))

    def _reload(self, _visitor: Visitor) -> HTTPResponse:
        return self._ask("reload")

    def _doctor(self, _visitor: Visitor) -> HTTPResponse:
        return self._ask("doctor")

    def _ask(self, do: str, **wanted: Any) -> HTTPResponse:
        return json_answer(self._daemon.ask(do, **wanted).result)


class ConfigRoutes:
    """The config of the node."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        # of two who write at once, the second finds that the text has changed
        self._writing = threading.Lock()

    def routes(self) -> Iterator[Route]:
        """Yield the routes."""
        yield Route("GET", "/api/config", "owner", self._read)
        yield Route("POST", "/api/config", "owner", self._write)

    def _read(self, _visitor: Visitor) -> HTTPResponse:
        told = self._daemon.ask("config").result
        path = Path(str(told.get("path", "")))
        if not config_file.is_writable(path):
            return json_answer({**told, "writable": False})
        text, tag = config_file.read(path)
        return json_answer({**told, "text": text, "tag": tag, "writable": True})

    def _write(self, _visitor: Visitor) -> HTTPResponse:
        """Check a text, and with `confirm` write it."""
        given = arguments()
        text, tag = given.get("text"), given.get("tag")
        if not isinstance(text, str) or not (tag is None or isinstance(tag, str)):
            raise Problem(400, "the text is missing")
        problems = self._daemon.ask("config_check", text=text).result.get("problems")
        if problems:
            raise Problem(422, "nothing was written: the config has errors", more={"problems": problems})
        if given.get("confirm") is not True:
            return json_answer({"problems": []})
        path = Path(str(self._daemon.ask("config").result.get("path", "")))
        if not config_file.is_writable(path):
            raise Problem(403, f"the page may not write {path}; edit it on the device")
        with self._writing:
            backup = config_file.write(path, text, tag)
        return json_answer({"backup": str(backup), "problems": []})
