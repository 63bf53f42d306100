"""Items are returned in the order of their tickets, whichever is finished first."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.pipeline.lane import ReorderBuffer, Ticket


@given(order=st.permutations(range(12)), empty=st.sets(st.integers(0, 11)), ahead=st.integers(1, 12))
def test_all_items_are_returned_in_order_and_once(order: list[int], empty: set[int], ahead: int) -> None:
    """At most `ahead` items are unfinished at the same time. They finish in any order."""
    returned: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=12)
    under_way: dict[int, Ticket[int]] = {}
    begun = 0
    for _ in range(12):
        while begun < 12 and len(under_way) < ahead:
            under_way[begun] = buffer.begin()
            begun += 1
        number = min(under_way, key=order.index)
        returned += buffer.finish(under_way.pop(number), None if number in empty else number)
        waited_for = min(under_way, default=begun)
        assert returned == [n for n in range(waited_for) if n not in empty]
    assert returned == [n for n in range(12) if n not in empty]


def test_an_item_that_hangs_delays_a_limited_number_of_others() -> None:
    returned: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=3)
    first, *others = [buffer.begin() for _ in range(6)]
    for number in (1, 2, 3):
        returned += buffer.finish(others[number - 1], number)
    assert returned == []
    returned += buffer.finish(others[3], 4)
    assert returned == [1, 2, 3, 4]
    returned += buffer.finish(first, 0)
    returned += buffer.finish(others[4], 5)
    assert returned == [1, 2, 3, 4, 0, 5]


def test_the_delaying_item_is_not_lost_when_too_many_wait() -> None:
    returned: list[int] = []
    buffer = ReorderBuffer[int](max_waiting=2)
    tickets = [buffer.begin() for _ in range(3)]
    for number in (2, 1, 0):
        returned += buffer.finish(tickets[number], number)
    assert returned == [0, 1, 2]
