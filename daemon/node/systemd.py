"""What the daemon tells the service manager that started it: systemd's protocol, as in sd_notify(3)."""

import logging
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.node.health import AcceleratorHealth, SourceHealth, fails, is_opened_first
from daemon.runtime.heartbeat import Heartbeat, hung_loops

log = logging.getLogger(__name__)

US_PER_S = 1_000_000
SEND_S = 1.0
"""The service manager reads at once, unless the machine is in trouble."""


class Notifier:
    """Sends datagrams to the service manager's socket; without one, tells nobody."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """`address` is a path, or a name that begins with @; `watchdog_s` is how often it wants to hear of us."""
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._waits_longer = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Notifier":
        """As the service manager says, in variables that are taken away so that no child speaks for us."""
        address, watchdog_us = (environment.pop(name, None) for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"))
        environment.pop("WATCHDOG_PID", None)
        return cls(address, int(watchdog_us) / US_PER_S if watchdog_us is not None else None)

    def wait_longer(self, seconds: float) -> None:
        """For what takes longer than a round: the watchdog bites after so long, until `wait_as_usual`."""
        if self.watchdog_s is not None:
            self._waits_longer = True
            self.send(WATCHDOG_USEC=str(round(seconds * US_PER_S)))

    def wait_as_usual(self) -> None:
        """The watchdog waits as long as it was told at first."""
        if self.watchdog_s is not None and self._waits_longer:
            self.wait_longer(self.watchdog_s)
            self._waits_longer = False

    def send(self, **fields: str) -> bool:
        """Send assignments such as READY="1"; whether the service manager has them. What failed is logged."""
        if self._address is None:
            return True
        datagram = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.settimeout(SEND_S)
                notify.connect(self._address)
                notify.sendall(datagram.encode())
        except OSError as error:
            log.warning("the service manager could not be told %s: %s", "/".join(fields), error)
            return False
        return True


GOOD_STATES = frozenset({"healthy", "ended", "stopped"})

READY_AT_LAST_S = 30.0
"""A source that says nothing for so long, as a file on a dead network share may, must not hold up the others."""

CERTAIN_S = 1.0
"""Hanging is believed after so long: when the whole machine was held up, all loops seem to hang until they run."""

FEEDS_PER_INTERVAL = 4
"""The watchdog is fed so often in the time after which it bites."""


class Service:
    """Looks at the loops and the sources at every round of the node's own loop, and passes on what has changed.

    The watchdog is fed from here alone. As soon as a loop hangs or has ended, it is told to bite.
    """

    def __init__(self, notifier: Notifier, loops: Callable[[], Sequence[Heartbeat]]) -> None:
        """`loops` gives those there are now."""
        self._notifier = notifier
        self._loops = loops
        self._ready = False
        self._first_ns = monotonic_ns()
        self._status = ""
        self._fed_ns: int | None = None
        self._doubt_ns: int | None = None
        self._bitten = False

    def look(
        self,
        sources: Mapping[str, SourceHealth],
        accelerators: Mapping[str, AcceleratorHealth],
        *,
        streams: int,
        connected: bool,
    ) -> None:
        """Take one look; `sources` by names such as door/camera."""
        now_ns = monotonic_ns()
        trouble = self._trouble(now_ns)
        self._tell(words(sources, accelerators, streams=streams, connected=connected, trouble=trouble))
        is_late = now_ns - self._first_ns >= READY_AT_LAST_S * NS_PER_S
        if not self._ready and (is_late or not unheard_of(sources)):
            self._ready = self._notifier.send(READY="1")
        if trouble is None:
            self._feed(now_ns)
        elif not self._bitten:
            self._bitten = True
            log.error("%s", trouble)
            if self._notifier.watchdog_s is not None:
                self._notifier.send(WATCHDOG="trigger")

    def _trouble(self, now_ns: int) -> str | None:
        found = hung_loops((loop.snapshot() for loop in self._loops()), now_ns)
        if found is None:
            self._doubt_ns = None
        elif self._doubt_ns is None:
            self._doubt_ns = now_ns
        certain = self._doubt_ns is not None and now_ns - self._doubt_ns >= CERTAIN_S * NS_PER_S
        return found if certain else None

    def _tell(self, status: str) -> None:
        if status != self._status and self._notifier.send(STATUS=status):
            self._status = status

    def _feed(self, now_ns: int) -> None:
        interval_s = self._notifier.watchdog_s
        if interval_s is None:
            return
        if self._fed_ns is None or now_ns - self._fed_ns >= interval_s / FEEDS_PER_INTERVAL * NS_PER_S:
            self._notifier.send(WATCHDOG="1")
            self._fed_ns = now_ns


def unheard_of(sources: Mapping[str, SourceHealth]) -> list[str]:
    """The sources that have neither delivered nor reported a fault."""
    return [name for name, source in sources.items() if is_opened_first(source)]


def words(
    sources: Mapping[str, SourceHealth],
    accelerators: Mapping[str, AcceleratorHealth],
    *,
    streams: int,
    connected: bool,
    trouble: str | None,
) -> str:
    """What the service does, on one line."""
    if waits_for := unheard_of(sources):
        said = [f"starting: nothing yet from {', '.join(waits_for)}"]
    else:
        said = [f"recognising: {streams} stream{'' if streams == 1 else 's'}"]
    said += [
        f"{name}: {source.reason or source.state}"
        for name, source in sources.items()
        if source.state not in GOOD_STATES and name not in waits_for
    ]
    said += [f"{name}: {found.reason}; on the CPU" for name, found in accelerators.items() if fails(found)]
    if not connected:
        said.append("no MQTT broker")
    if trouble is not None:
        said.append(trouble)
    return "; ".join(said)
