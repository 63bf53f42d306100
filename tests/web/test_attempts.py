"""How often somebody may try a password."""

import pytest

from daemon.core.timing import NS_PER_S
from daemon.web.attempts import (
    ADDRESS_ATTEMPTS,
    ADDRESS_EVERY_S,
    MOST_ADDRESSES,
    STRANGERS_ATTEMPTS,
    STRANGERS_EVERY_S,
    Attempts,
    network_of,
)


def taken(attempts: Attempts, address: str, at_s: float, *, is_known: bool = False) -> bool:
    return attempts.take(address, round(at_s * NS_PER_S), is_known=is_known) == 0


def test_one_address_has_some_attempts_and_then_one_now_and_then() -> None:
    attempts = Attempts(0)
    assert [taken(attempts, "192.168.1.5", 0) for _ in range(10)] == [True] * ADDRESS_ATTEMPTS + [False] * (
        10 - ADDRESS_ATTEMPTS
    )
    assert not taken(attempts, "192.168.1.5", ADDRESS_EVERY_S - 1)
    assert taken(attempts, "192.168.1.5", ADDRESS_EVERY_S)
    assert not taken(attempts, "192.168.1.5", ADDRESS_EVERY_S + 1)
    assert taken(attempts, "192.168.1.6", ADDRESS_EVERY_S + 1)


def test_who_waits_is_told_how_long() -> None:
    attempts = Attempts(0)
    for _ in range(ADDRESS_ATTEMPTS):
        assert attempts.take("192.168.1.5", 0, is_known=True) == 0
    assert attempts.take("192.168.1.5", 0, is_known=True) == ADDRESS_EVERY_S


def test_a_flood_from_many_addresses_is_bounded_and_locks_out_nobody_who_is_known() -> None:
    attempts, seconds = Attempts(0), 100
    let_in = sum(taken(attempts, f"10.{n % 250}.{n // 250}.1", n / 100) for n in range(100 * seconds))
    assert let_in <= STRANGERS_ATTEMPTS + seconds / STRANGERS_EVERY_S + 1
    assert taken(attempts, "192.168.1.5", seconds, is_known=True)


def test_the_memory_of_addresses_is_bounded() -> None:
    attempts = Attempts(0)
    for number in range(2 * MOST_ADDRESSES):
        taken(attempts, f"10.0.{number // 250}.{number % 250}", number * STRANGERS_EVERY_S)
    assert len(attempts) == MOST_ADDRESSES


def test_the_right_password_gives_its_own_attempt_back() -> None:
    attempts = Attempts(0)
    attempts.give_back("::1")
    assert all(taken(attempts, "::1", 0, is_known=True) for _ in range(ADDRESS_ATTEMPTS))
    attempts.give_back("::1")
    assert [taken(attempts, "::1", 0, is_known=True) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_customer_of_ipv6_has_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
