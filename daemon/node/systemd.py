"""What the daemon tells the service manager that started it: systemd's protocol, as in sd_notify(3)."""

import logging
import os
import socket
from collections.abc import MutableMapping

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
