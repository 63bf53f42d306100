"""Which refusals of a broker can pass. Pure; a reason is a reason code of MQTT 5, section 2.4."""

# The broker lacks something for a moment, or does not say what is wrong. The same packet may be accepted later.
# The other reasons of SUBACK and PUBACK concern the packet itself. They are: not authorized (0x87), invalid filter,
# topic or payload (0x8F, 0x90, 0x99), and unsupported subscriptions (0x9E, 0xA1, 0xA2).
PASSING = frozenset(
    {
        0x80,  # unspecified error, and the only failure of MQTT 3.1.1
        0x83,  # implementation specific error
        0x88,  # server unavailable
        0x89,  # server busy
        0x8B,  # server shutting down
        0x91,  # packet identifier in use
        0x93,  # receive maximum exceeded
        0x96,  # message rate too high
        0x97,  # quota exceeded
        0x9F,  # connection rate exceeded
    }
)


def can_pass(code: int) -> bool:
    """Return whether the broker may accept the same packet later."""
    return code in PASSING
