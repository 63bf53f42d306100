"""Decides after each attempt to connect which address and protocol version come next, and after what wait."""

import random
from typing import Literal

from daemon.core.timing import Backoff
from daemon.mqtt.broker.addresses import Address, Addresses
from daemon.mqtt.broker.waits import Waits

ProtocolVersion = Literal["5", "3.1.1"]

# How an attempt ended.
# failed: no connection, or the login was refused. unanswered: no CONNACK. unsupported: not this protocol version.
# other_will: the broker refused the last will, and gets another. lost: the connection ended after the login.
# sent_away: the same, and the broker shuts down or names another. taken_over: another client uses the same name.
End = Literal["failed", "unanswered", "unsupported", "other_will", "lost", "sent_away", "taken_over"]

# A broker that worked with a version may be restarting. It is asked so many rounds in that version, then in the other.
KEPT_ROUNDS = 4

# Brokers of a cluster that elects a leader accept connections and stay silent. The first one to answer is found sooner
# by short attempts and short waits. Later rounds have time for slow brokers.
SHORT_ROUNDS = 3


class ProtocolChoice:
    """The protocol version to ask for. The other version is tried when a broker does not answer in this one."""

    def __init__(self) -> None:
        self.version: ProtocolVersion = "5"
        self._working: ProtocolVersion | None = None
        self._unanswered = 0

    @property
    def is_known(self) -> bool:
        """Whether a broker has worked with the version."""
        return self._working is not None

    def works(self) -> None:
        """Note that a broker has accepted the version."""
        self._working, self._unanswered = self.version, 0

    def is_unsupported(self) -> None:
        """Note that a broker has said that it does not speak the version."""
        self._working, self._unanswered = None, 0
        self._swap()

    def is_unanswered(self) -> None:
        """Note that no broker has answered during a round."""
        self._unanswered += 1
        if self._working is None:
            self._swap()
        elif self.version != self._working:
            self.version, self._unanswered = self._working, 0
        elif self._unanswered >= KEPT_ROUNDS:
            self._swap()

    def _swap(self) -> None:
        self.version = "3.1.1" if self.version == "5" else "5"


class Attempts:
    """The course of attempts. Waits grow from round to round, and each is cut to a random part.

    The next address is tried at once, so a broker that is away costs no wait while another one works.
    """

    def __init__(self, addresses: Addresses, waits: Waits, spread_s: float) -> None:
        """`spread_s`: the first attempt after a lost connection waits a random time up to this."""
        self.protocol = ProtocolChoice()
        self._addresses = addresses
        self._waits, self._spread_s = waits, spread_s
        self._backoff = Backoff(waits.first_retry_s, waits.longest_retry_s)
        self._takeover_backoff = Backoff(waits.first_takeover_s, waits.longest_takeover_s)
        self._was_unanswered = self._has_swapped = False
        self._rounds = 0

    @property
    def connack_s(self) -> float:
        """How long the present broker may take to answer CONNECT."""
        return min(self._waits.first_connack_s, self._waits.connack_s) if self._is_short else self._waits.connack_s

    @property
    def _is_short(self) -> bool:
        return self._rounds < SHORT_ROUNDS and self._addresses.has_others

    @property
    def name(self) -> str:
        """Host and port of the present broker, for messages."""
        return self._addresses.name

    def address(self) -> Address:
        """Return the address to try now. Blocks for name servers; raises OSError."""
        return self._addresses.current()

    def works(self) -> None:
        """Note that the broker has accepted the login."""
        self.protocol.works()
        self._addresses.begin_round()
        self._was_unanswered = self._has_swapped = False
        self._rounds = 0

    def wait_s(self, end: End, lasted_s: float) -> float:
        """Return how long to wait before the next attempt; `lasted_s` says how long the connection was up."""
        is_steady = lasted_s >= self._waits.steady_s
        if is_steady:
            self._backoff.reset()
        if lasted_s >= self._waits.longest_takeover_s:
            self._takeover_backoff.reset()
        if end == "other_will":
            return 0.0
        if end == "taken_over":
            return self._takeover_backoff.next_s()
        if end == "unsupported":
            self.protocol.is_unsupported()
            if not self._has_swapped:
                self._has_swapped = True
                return 0.0
        if end in ("lost", "sent_away"):
            return self._wait_after_loss(is_steady and end == "lost")
        self._was_unanswered |= end == "unanswered"
        return self._go_on()

    def _wait_after_loss(self, stays: bool) -> float:
        """Return the wait after a lost connection; a connection that held is made again with the same broker."""
        if not stays:
            self._addresses.advance()
        spread_s = random.uniform(0, self._spread_s)  # noqa: S311  (spreads load, keeps no secret)
        return self._backoff.next_s() + spread_s

    def _go_on(self) -> float:
        """Go to the next address; return the wait."""
        self._has_swapped = False
        if not self._addresses.advance():
            return 0.0
        if self._is_short:
            self._backoff.reset()
        self._rounds += 1
        if self._was_unanswered:
            self.protocol.is_unanswered()
        self._was_unanswered = False
        return self._backoff.next_s()
