"""`perceptd page`: serves the page of a node, or says who may use it and from where."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from daemon.cli.page_accounts import accounts_in, change_accounts
from daemon.cli.page_listen import has_unit, link_remark, listen_at, listens_at
from daemon.cli.page_places import Places, is_of_service, places_of, service_places
from daemon.cli.signals import handle_interrupt, handle_signals
from daemon.config.places import find_config, node_configs
from daemon.core.errors import Refused
from daemon.core.files import replace_file
from daemon.core.logs import start_logging
from daemon.history.playback import ClipJobs
from daemon.history.rendering import render_h264
from daemon.history.spectrogram import draw_spectrogram
from daemon.web.listening import (
    DEFAULT_ADDRESS,
    DEFAULT_PORT,
    address_of,
    is_local,
    own_socket,
    passed_sockets,
    url_host,
)
from daemon.web.page import build

# where a page listens that was started by hand, for `--link`
ADDRESS_FILE = "address"


def page(options: argparse.Namespace) -> int:
    """Serve the page, or do what an option says; return the exit code. Raises Refused."""
    if passed := passed_sockets(os.environ):
        # the first process of a container names the config, systemd does not
        places = service_places() if options.config is None else places_of(options.config)
        return _serve(places, passed, options.idle_exit)
    config = options.config if options.config is not None else find_config(node_configs())
    places = places_of(config)
    is_service = is_of_service(config) and has_unit()
    if options.listen is not None:
        return _listen(places, *address_of(options.listen), options.idle_exit, is_service=is_service)
    if options.link or options.set_password or options.token or options.revoke or options.logout_all:
        url = _url(places, *(listens_at() if is_service else _own_address(places.state)))
        with accounts_in(places.state) as accounts:
            code = change_accounts(options, accounts, url)
        if options.link and is_service and (remark := link_remark()) is not None:
            print(remark, file=sys.stderr)
        return code
    if is_service:
        print(f"systemd serves the page at {_url(places, *listens_at())}; log in by: sudo perceptd page --link")
        return 0
    return _serve_here(places, DEFAULT_ADDRESS, DEFAULT_PORT, options.idle_exit)


def _listen(places: Places, host: str, port: int, idle_exit_s: float | None, *, is_service: bool) -> int:
    if not is_local(host):
        with accounts_in(places.state) as accounts:
            if not accounts.has_password():
                raise Refused("the page is not opened to a network without a password: perceptd page --set-password")
    if not is_service:
        return _serve_here(places, host, port, idle_exit_s)
    listen_at(host, port)
    print(f"the page is at {_url(places, host, port)}")
    return 0


def _serve_here(places: Places, host: str, port: int, idle_exit_s: float | None) -> int:
    """Serve in the foreground."""
    with own_socket(host, port) as listening:
        port = listening.getsockname()[1]
        address = places.state / ADDRESS_FILE
        try:
            replace_file(address, f"{url_host(host)}:{port}".encode(), mode=0o600)
        except OSError as error:
            raise Refused(f"{address} cannot be written: {error.strerror or error}") from error
        print(f"the page is at {_url(places, host, port)}; log in by: perceptd page --link", flush=True)
        try:
            return _serve(places, [listening], idle_exit_s)
        finally:
            address.unlink(missing_ok=True)


def _serve(places: Places, listening: Sequence[socket.socket], idle_exit_s: float | None) -> int:
    start_logging("info")
    jobs = ClipJobs(render_h264, draw_spectrogram)
    served = build(places.local_socket, places.state, listening, jobs, first=places.settings, idle_exit_s=idle_exit_s)
    handle_signals(served.stop, _ignore)
    handle_interrupt(served.stop)
    served.serve()
    return 0


def _ignore() -> None:
    pass


def _own_address(state: Path) -> tuple[str, int]:
    try:
        return address_of((state / ADDRESS_FILE).read_text(encoding="utf-8"))
    except OSError:
        return DEFAULT_ADDRESS, DEFAULT_PORT


def _url(places: Places, host: str, port: int) -> str:
    if is_local(host) or host in ("0.0.0.0", "::"):  # noqa: S104  (where it listens already)
        host = "localhost"
    return f"{'https' if places.has_certificate else 'http'}://{url_host(host)}:{port}/"
