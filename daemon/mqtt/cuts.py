"""Finds the retained topic at which a broker ends the connection without a PUBACK. Pure; used by the MQTT thread.

RabbitMQ and brokers of MQTT 3.1.1 do so where the account may not publish. A retained topic is sent again at each
connect, so nothing behind it would ever arrive.
"""

from collections.abc import Sequence

from daemon.core.timing import NS_PER_S
from daemon.mqtt.broker.callbacks import NOT_AUTHORIZED, BrokerReason
from daemon.mqtt.send_queue import Outbound

# How a connection ends at a message that the broker does not take, and what is then reported of the message.
CUT_CODES = frozenset({0x80, 0x81, 0x82, 0x83, NOT_AUTHORIZED})
ENDS_THE_CONNECTION = BrokerReason(NOT_AUTHORIZED, "it ended the connection each time")

# A cut of a connection that has lasted longer is no answer to what was sent at its begin.
SHORT_NS = 5 * NS_PER_S

# After so many short connections in a row the messages are sent one at a time. So the next cut shows the topic.
SUSPICIOUS = 2

# So many cuts right after the same topic are no chance.
CUTS = 2


class Cuts:
    """Watches the ends of connections. `is_careful`: messages are sent one at a time at the begin of a connection."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._by_topic: dict[str, int] = {}

    def is_careful(self, lasted_ns: int) -> bool:
        """Return whether to send only one message at a time on a connection that has lasted so long."""
        return self._in_a_row >= SUSPICIOUS and lasted_ns < SHORT_NS

    def lost(
        self, unacknowledged: Sequence[Outbound], lasted_ns: int, loss: BrokerReason | None, *, has_worked: bool
    ) -> Outbound | None:
        """Note the end of a connection; return the retained message that is its cause.

        `has_worked`: the broker has acknowledged something before, so it is not on its way down.
        """
        is_careful = self.is_careful(lasted_ns)
        if not (is_cut(loss) and unacknowledged and lasted_ns < SHORT_NS):
            self._in_a_row = 0
            self._by_topic.clear()
            return None
        self._in_a_row += 1
        message = unacknowledged[0]
        if not (is_careful and has_worked and message.retain and len(unacknowledged) == 1):
            return None
        count = self._by_topic[message.topic] = self._by_topic.get(message.topic, 0) + 1
        if count < CUTS:
            return None
        del self._by_topic[message.topic]
        return message


def is_cut(loss: BrokerReason | None) -> bool:
    """Return whether a message may have ended the connection."""
    return loss is not None and loss.code in CUT_CODES
