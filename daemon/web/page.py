"""The page's process, put together: `build` reads like a table of contents."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from daemon.core.errors import Refused
from daemon.history.playback import ClipJobs
from daemon.runtime.local import LocalClient
from daemon.web.accounts import Accounts
from daemon.web.application import Application, Route
from daemon.web.connections import Connections
from daemon.web.daemon_link import Daemon
from daemon.web.followers import Followers
from daemon.web.http_server import HttpServer, Limits, tls_context
from daemon.web.login import Login
from daemon.web.media_routes import MediaRoutes
from daemon.web.renderings import Renderings
from daemon.web.routes import ConfigRoutes, DaemonRoutes, PageRoutes
from daemon.web.settings import FollowedSettings, Settings
from daemon.web.static_files import StaticFiles


class Page:
    """A page that serves until it is stopped."""

    def __init__(
        self, connections: Connections, followers: Followers, settings: FollowedSettings, renderings: Renderings
    ) -> None:
        self._connections = connections
        self._followers = followers
        self._settings = settings
        self._renderings = renderings

    def serve(self) -> None:
        """Serve on the calling thread."""
        self._settings.start()
        try:
            self._connections.serve()
        finally:
            self._settings.stop()
            self._renderings.close()

    def stop(self) -> None:
        """End `serve`; a signal handler may call this."""
        self._followers.stop()
        self._connections.stop()


def build(
    local_socket: Path,
    state: Path,
    listening: Sequence[socket.socket],
    jobs: ClipJobs,
    *,
    first: Mapping[str, Any] | None = None,
    idle_exit_s: float | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> Page:
    """Return a page. `first` is the section `page` of the config, where the caller may read it. Raises Refused."""
    client = LocalClient(local_socket)
    try:
        accounts = Accounts(state)
    except OSError as error:
        raise Refused(f"the page cannot use its directory {state}: {error.strerror or error}") from error
    settings = FollowedSettings(client, state, first)
    if first is None:
        settings.refresh()
    login = Login(accounts)
    daemon = Daemon(client)
    followers = Followers(client)
    renderings = Renderings(jobs)
    application = Application(all_routes(daemon, followers, login, renderings), login, settings.trust)
    server = HttpServer(application, _tls(settings.now), limits)
    return Page(Connections(listening, server, settings.trust, idle_exit_s), followers, settings, renderings)


def all_routes(daemon: Daemon, followers: Followers, login: Login, renderings: Renderings) -> Iterator[Route]:
    """Return everything that the page answers."""
    return chain(
        PageRoutes(StaticFiles(), login).routes(),
        DaemonRoutes(daemon, followers, login).routes(),
        MediaRoutes(daemon, renderings).routes(),
        ConfigRoutes(daemon).routes(),
    )


def _tls(settings: Settings) -> Any:
    """Return the settings of HTTPS; None without a certificate. Raises Refused."""
    if settings.certificate_file is None:
        return None
    try:
        return tls_context(settings.certificate_file, settings.key_file)
    except OSError as error:
        files = " and ".join(filter(None, (settings.certificate_file, settings.key_file)))
        raise Refused(
            f"page.certificate_file, page.key_file: {files} cannot be used: {error.strerror or error}"
        ) from error
