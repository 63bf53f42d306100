"""What of the config the page follows. The daemon tells it: the page's own user may not read the config."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.core.errors import LocalError
from daemon.core.files import read_own, replace_file
from daemon.core.versions import StateFile, json_version, set_later_aside
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.thread_loop import LoopThread
from daemon.web.daemon_link import DaemonClient
from daemon.web.guard import Trust

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024

VERSION = 1
FILES = (StateFile("settings.json", VERSION, json_version),)
REFRESH_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The section `page` of the config."""

    trust: Trust = field(default_factory=Trust)
    certificate_file: str | None = None
    key_file: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Settings":
        """Return the settings, as the daemon or a child process tells them."""
        hosts, proxies = (_texts(told.get(name)) for name in ("trusted_hosts", "trusted_proxies"))
        certificate, key = (told.get(name) for name in ("certificate_file", "key_file"))
        return cls(
            Trust.of(hosts, proxies, told.get("proxy_login")),
            certificate if isinstance(certificate, str) else None,
            key if isinstance(key, str) else None,
        )


class FollowedSettings:
    """The settings that the daemon has told last; those of an earlier run while it does not answer."""

    def __init__(self, client: DaemonClient, directory: Path, first: Mapping[str, Any] | None = None) -> None:
        """`first` is what the config says, where the caller has read it."""
        self._client = client
        self._file = directory / "settings.json"
        self._told: dict[str, Any] = dict(first) if first is not None else self._stored()
        self._settings = Settings.of(self._told)
        self._stopping = threading.Event()
        self._thread = LoopThread(Heartbeat("page-settings"), self._follow)

    @property
    def now(self) -> Settings:
        """Return the present settings."""
        return self._settings

    def trust(self) -> Trust:
        """Return whom to trust now."""
        return self._settings.trust

    def refresh(self) -> None:
        """Ask the daemon. The certificate counts from the next start of the page on."""
        try:
            told = self._client.ask("describe").result.get("page")
        except LocalError as error:
            log.debug("the settings of the page stay as they are: %s", error)
            return
        if not isinstance(told, dict) or told == self._told:
            return
        self._told, self._settings = told, Settings.of(told)
        try:
            replace_file(self._file, json.dumps({"version": VERSION, **told}).encode(), mode=0o600)
        except OSError as error:
            log.warning("the settings of the page could not be stored: %s", error)

    def start(self) -> None:
        """Refresh them in a thread of their own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it may still wait for the daemon."""
        self._stopping.set()
        self._thread.join(1.0)

    def _follow(self) -> None:
        while not self._stopping.wait(REFRESH_EVERY_S):
            self.refresh()

    def _stored(self) -> dict[str, Any]:
        try:
            set_later_aside(self._file.parent, FILES)
            told = json.loads(read_own(self._file, MOST_BYTES))
        except (OSError, ValueError):
            return {}
        return {name: value for name, value in told.items() if name != "version"} if isinstance(told, dict) else {}


def _texts(told: object) -> list[str]:
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
