"""Many hosts are asked at once, and those that hang are left behind."""

import threading

from daemon.setup.in_parallel import in_parallel

LONG_S = 30.0


def test_results_come_in_the_order_of_the_items() -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert later.wait(LONG_S)
        elif number == 9:
            later.set()
        return number * number

    assert in_parallel(work, range(10), LONG_S) == [number * number for number in range(10)]
    assert in_parallel(work, [], LONG_S) == []


def test_what_hangs_costs_its_own_result_only() -> None:
    is_over = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            is_over.wait(LONG_S)
        return number

    assert in_parallel(work, range(3), 0.5) == [0, 2]
    is_over.set()
