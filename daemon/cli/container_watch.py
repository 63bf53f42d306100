"""What the node of a container reports of itself by sd_notify(3), and when it is silent for too long. Pure."""

from dataclasses import dataclass

from daemon.core.timing import NS_PER_S

# as in perceptd.service
START_S = 90.0
SILENCE_S = 6.0

US_PER_S = 1_000_000
NS_PER_US = NS_PER_S // US_PER_S
# an hour: what a node asks for while it works longer is far below
MOST_DIGITS = len(str(3600 * US_PER_S))


@dataclass
class Watch:
    """Follows the messages of one node, which was started at `since_ns`."""

    since_ns: int
    is_ready: bool = False
    interval_ns: int = round(SILENCE_S * NS_PER_S)
    is_triggered: bool = False

    def take(self, datagram: bytes, now_ns: int) -> None:
        """Note a message of the node. What is unknown in it counts for nothing."""
        for line in datagram.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name == "READY" and value == "1":
                self.is_ready, self.since_ns = True, now_ns
            elif name == "WATCHDOG" and value == "1":
                self.since_ns = now_ns
            elif name == "WATCHDOG" and value == "trigger":
                self.is_triggered = True
            elif name == "WATCHDOG_USEC" and value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS:
                self.interval_ns, self.since_ns = int(value) * NS_PER_US, now_ns

    @property
    def ends_at_ns(self) -> int:
        """Return when the node is to be ended, unless it reports before."""
        return self.since_ns + (self.interval_ns if self.is_ready else round(START_S * NS_PER_S))

    def problem(self, now_ns: int) -> str | None:
        """Return why the node is to be ended; None while it is well."""
        if self.is_triggered:
            return "the node reports a loop without progress"
        if now_ns < self.ends_at_ns:
            return None
        silent_s = (now_ns - self.since_ns) / NS_PER_S
        return f"the node {'reports nothing for' if self.is_ready else 'is not ready after'} {silent_s:.0f} s"
