"""The time limits of a connection and the waits between attempts."""

from dataclasses import dataclass

from daemon.runtime.heartbeat import IDLE_S


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds. Tests give shorter ones.

    A broker that has not answered CONNECT after `connack_s` is given up; in the first rounds after `first_connack_s`,
    where there is another one. So is a broker that leaves SUBSCRIBE unanswered for `suback_s`, or a message of QoS 1
    for `puback_s`. A connection that lasted `steady_s` was a working one.
    """

    first_connack_s: float = 1.5
    connack_s: float = 10.0
    suback_s: float = 20.0
    puback_s: float = 60.0
    steady_s: float = 5.0

    # how often the loop looks at what is due
    tick_s: float = IDLE_S

    # between rounds over all addresses of the brokers
    first_retry_s: float = 1.0
    longest_retry_s: float = 30.0

    # while another client uses the same name, because each attempt cuts off that client
    first_takeover_s: float = 60.0
    longest_takeover_s: float = 3600.0

    # before a refused subscription is asked for again
    first_resubscribe_s: float = 2.0
    longest_resubscribe_s: float = 300.0


STANDARD = Waits()
