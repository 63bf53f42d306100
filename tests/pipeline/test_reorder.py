"""Whatever is finished first, it is handed on in the order in which it was begun."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.pipeline.lane import ReorderBuffer, Ticket


@given(order=st.permutations(range(12)), empty=st.sets(st.integers(0, 11)), ahead=st.integers(1, 12))
def test_all_are_handed_on_in_order_and_once(order: list[int], empty: set[int], ahead: int) -> None:
    """At most `ahead` are under way at once, and finish in any order."""
    handed: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=12)
    under_way: dict[int, Ticket[int]] = {}
    begun = 0
    for _ in range(12):
        while begun < 12 and len(under_way) < ahead:
            under_way[begun] = buffer.begin()
            begun += 1
        number = min(under_way, key=order.index)
        handed += buffer.finish(under_way.pop(number), None if number in empty else number)
        waited_for = min(under_way, default=begun)
        assert handed == [n for n in range(waited_for) if n not in empty]
    assert handed == [n for n in range(12) if n not in empty]


def test_one_that_hangs_is_waited_for_until_too_many_wait() -> None:
    handed: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=3)
    first, *others = [buffer.begin() for _ in range(6)]
    for number in (1, 2, 3):
        handed += buffer.finish(others[number - 1], number)
    assert handed == []
    handed += buffer.finish(others[3], 4)
    assert handed == [1, 2, 3, 4]
    handed += buffer.finish(first, 0)
    handed += buffer.finish(others[4], 5)
    assert handed == [1, 2, 3, 4, 0, 5]


def test_the_one_that_was_waited_for_is_not_lost_however_many_wait() -> None:
    handed: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=2)
    tickets = [buffer.begin() for _ in range(3)]
    for number in (2, 1, 0):
        handed += buffer.finish(tickets[number], number)
    assert handed == [0, 1, 2]
