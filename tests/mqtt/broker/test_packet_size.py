"""What cuts of the connection tell of the largest packet: pure rules."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.broker.packet_size import CUTS, LEARNED_FOR_S, RIGHT_AFTER_S, SMALLEST_SUSPECT, PacketSizes

LARGE = 2000


def cut_at(sizes: PacketSizes, size: int, now_s: float = 0.0, after_s: float = 0.1, **how: bool) -> int | None:
    sizes.begin(now_s)
    sizes.sent(size, now_s)
    return sizes.lost(**{"was_cut": True, "is_too_large": False, **how}, now_s=now_s + after_s)


def test_cuts_right_after_a_large_packet_show_the_limit() -> None:
    sizes = PacketSizes()
    assert [cut_at(sizes, LARGE + n) for n in range(CUTS)] == [None] * (CUTS - 1) + [LARGE - 1]
    assert sizes.limit == LARGE - 1


def test_a_broker_that_gives_the_reason_is_believed_at_once() -> None:
    assert cut_at(PacketSizes(), LARGE, is_too_large=True) == LARGE - 1


def test_what_was_acknowledged_is_no_suspect() -> None:
    sizes = PacketSizes()
    for _ in range(CUTS):
        assert cut_at(sizes, LARGE) is None or sizes.limit is None
        sizes.begin(0.0)
        sizes.sent(LARGE, 0.0)
        assert sizes.awaits_proof
        sizes.acknowledged(LARGE)
        assert not sizes.awaits_proof and not sizes.is_suspect(LARGE) and sizes.is_suspect(LARGE + 1)
    assert sizes.limit is None


def test_other_ends_of_the_connection_show_nothing() -> None:
    sizes = PacketSizes()
    for _ in range(2 * CUTS):
        assert cut_at(sizes, LARGE, was_cut=False) is None
        assert cut_at(sizes, LARGE, after_s=RIGHT_AFTER_S + 1) is None
        assert cut_at(sizes, SMALLEST_SUSPECT) is None
        assert cut_at(sizes, SMALLEST_SUSPECT, is_too_large=True) is None
    assert sizes.limit is None


def test_a_limit_is_forgotten_at_a_connect_after_an_hour() -> None:
    sizes = PacketSizes()
    cut_at(sizes, LARGE, 100.0, is_too_large=True)
    sizes.begin(100.0 + LEARNED_FOR_S - 1)
    assert sizes.limit == LARGE - 1
    sizes.begin(101.0 + LEARNED_FOR_S)
    assert sizes.limit is None


@given(st.integers(SMALLEST_SUSPECT, 10_000), st.lists(st.integers(1, 10_000), min_size=1))
def test_whatever_is_sent_the_limit_ends_the_cuts(largest: int, packets: list[int]) -> None:
    """A broker that cuts at each packet above `largest` cuts a few times only, and gets all that fit its limit."""
    sizes, delivered, cuts = PacketSizes(), set(), 0
    for now in range(200):
        sizes.begin(now)
        for size in packets:
            if sizes.limit is not None and size > sizes.limit:
                continue
            sizes.sent(size, now)
            if size > largest:
                cuts += 1
                sizes.lost(was_cut=True, is_too_large=False, now_s=now)
                break
            sizes.acknowledged(size)
            delivered.add(size)
    assert delivered == {size for size in packets if size <= largest}
    assert cuts <= CUTS * len(set(packets))
    assert sizes.limit is None or sizes.limit >= largest
