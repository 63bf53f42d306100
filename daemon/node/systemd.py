"""Reports the daemon's status to systemd and feeds its watchdog, by the protocol of sd_notify(3)."""

import os
import socket
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from daemon.core.logs import rate_limited_logger
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.node.accelerator_health import AcceleratorHealth
from daemon.node.health import SourceHealth, is_opening
from daemon.node.status import accelerator_reasons
from daemon.node.switches import Closed
from daemon.runtime.heartbeat import Certainty, Heartbeat, hung_loops
from daemon.runtime.processor import ProcessorShare

log = rate_limited_logger(__name__)

US_PER_S = 1_000_000

# of WATCHDOG_USEC: a uint64 of systemd, which means "never" at its highest
MAX_DIGITS = 19

# systemd reads at once, unless the machine is overloaded
SEND_S = 1.0

# a paused source is shown as closed on request
GOOD_STATES = frozenset({"healthy", "ended", "stopped", "paused"})

# the service is ready after this time, even if a source, such as a file on a dead share, neither delivers nor fails
READY_AT_LAST_S = 30.0

# the watchdog is fed so often within its interval
FEEDS_PER_INTERVAL = 4


class Notifier:
    """Sends datagrams to the service manager's socket; does nothing without one."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """`address` is a path, or a name that begins with @; `watchdog_s` is the watchdog's interval."""
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._waits_longer = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Notifier":
        """Return the notifier that the environment describes.

        Its variables are removed, so that no child process reports for the daemon.
        """
        address, watchdog_us = (environment.pop(name, None) for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"))
        environment.pop("WATCHDOG_PID", None)
        if address is not None and not address.startswith(("/", "@")):
            log.warning("NOTIFY_SOCKET=%s is ignored: expected a path, or a name that begins with @", clean(address))
            address = None
        return cls(address, None if watchdog_us is None else _watchdog_s(watchdog_us))

    def wait_longer(self, seconds: float) -> None:
        """Lengthen the watchdog's interval for work that takes longer, until `wait_as_usual`."""
        if self.watchdog_s is not None:
            self._waits_longer = True
            self.send(WATCHDOG_USEC=str(round(seconds * US_PER_S)))

    def wait_as_usual(self) -> None:
        """Restore the watchdog's first interval."""
        if self.watchdog_s is not None and self._waits_longer:
            self.wait_longer(self.watchdog_s)
            self._waits_longer = False

    def send(self, **fields: str) -> bool:
        """Send assignments such as READY="1"; return whether they were sent. A failure is logged."""
        if self._address is None:
            return True
        datagram = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.settimeout(SEND_S)
                notify.connect(self._address)
                notify.sendall(datagram.encode())
        except OSError as error:
            log.warning("systemd could not be notified of %s: %s", "/".join(fields), error)
            return False
        return True


def _watchdog_s(microseconds: str) -> float | None:
    """Return the interval in seconds; None for a number that cannot be meant, which is logged."""
    is_number = microseconds.isascii() and microseconds.isdecimal() and len(microseconds) <= MAX_DIGITS
    seconds = int(microseconds) / US_PER_S if is_number else 0.0
    if seconds > 0:
        return seconds
    log.warning("WATCHDOG_USEC=%s is ignored: expected microseconds", clean(microseconds))
    return None


class Service:
    """Reports loops and sources to systemd, at every round of the node's own loop.

    It is the only place that feeds the watchdog. It triggers the watchdog when a loop hangs or has ended.
    """

    def __init__(self, notifier: Notifier, loops: Callable[[], Sequence[Heartbeat]]) -> None:
        """`loops` returns the heartbeats that there are now."""
        self._notifier = notifier
        self._loops = loops
        self._ready = False
        self._first_ns = monotonic_ns()
        self._status = ""
        self._fed_ns: int | None = None
        self._certainty = Certainty()
        self._is_triggered = False

    def look(
        self,
        sources: Mapping[str, SourceHealth],
        accelerators: Mapping[str, AcceleratorHealth],
        processor: ProcessorShare,
        closed: Closed = Closed(),  # noqa: B008  (frozen)
        *,
        streams: int,
        connected: bool,
        is_reloading: bool = False,
        problems: Sequence[str] = (),
    ) -> str | None:
        """Report the present state; `sources` by names such as door/camera, `closed` what is closed on request.

        `is_reloading` says whether the check of a changed config goes on, `problems` what else is wrong with the node.
        Return which loops hang or have ended; None for none.
        """
        now_ns = monotonic_ns()
        found = hung_loops((loop.snapshot() for loop in self._loops()), now_ns)
        trouble = found if self._certainty.look(found is not None, processor) else None
        status = status_text(sources, accelerators, closed, streams=streams, connected=connected, trouble=trouble)
        self._report("; ".join([status, *problems]))
        is_late = now_ns - self._first_ns >= READY_AT_LAST_S * NS_PER_S
        if not self._ready and not is_reloading and (is_late or not silent_sources(sources)):
            self._ready = self._notifier.send(READY="1")
        if trouble is None:
            self._feed(now_ns)
        elif not self._is_triggered:
            self._is_triggered = True
            log.error("%s", trouble)
            if self._notifier.watchdog_s is not None:
                self._notifier.send(WATCHDOG="trigger")
        return trouble

    def begin_reload(self) -> None:
        """Report that the config is read again. The service is ready again at a later `look`, or in the next node."""
        self._ready = False
        self._notifier.send(RELOADING="1", MONOTONIC_USEC=str(monotonic_ns() // 1000))

    def _report(self, status: str) -> None:
        if status != self._status and self._notifier.send(STATUS=status):
            self._status = status

    def _feed(self, now_ns: int) -> None:
        interval_s = self._notifier.watchdog_s
        if interval_s is None:
            return
        if self._fed_ns is None or now_ns - self._fed_ns >= interval_s / FEEDS_PER_INTERVAL * NS_PER_S:
            self._notifier.send(WATCHDOG="1")
            self._fed_ns = now_ns


def silent_sources(sources: Mapping[str, SourceHealth]) -> list[str]:
    """Return the sources that have neither delivered nor reported a fault."""
    return [name for name, source in sources.items() if is_opening(source)]


def status_text(
    sources: Mapping[str, SourceHealth],
    accelerators: Mapping[str, AcceleratorHealth],
    closed: Closed = Closed(),  # noqa: B008  (frozen)
    *,
    streams: int,
    connected: bool,
    trouble: str | None,
) -> str:
    """Return the status on one line; `streams` is the number of all streams, with those that are paused."""
    parts = []
    open_streams = streams - len(closed.streams)
    if silent := silent_sources(sources):
        parts = [f"starting: nothing yet from {', '.join(silent)}"]
    elif open_streams or not closed.streams:
        parts = [f"recognising: {open_streams} stream{'' if open_streams == 1 else 's'}"]
    if closed.streams:
        parts.append(f"paused: {', '.join(closed.streams)}")
    if closed.devices:
        parts.append(f"closed: {', '.join(closed.devices)}")
    parts += [
        f"{name}: {source.reason or source.state}"
        for name, source in sources.items()
        if source.state not in GOOD_STATES and name not in silent
    ]
    parts += accelerator_reasons(accelerators)
    if not connected:
        parts.append("no MQTT broker")
    if trouble is not None:
        parts.append(trouble)
    return "; ".join(parts)
