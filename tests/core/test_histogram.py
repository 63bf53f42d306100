"""Durations in fixed buckets."""

from threading import Thread

from daemon.core.histogram import BOUNDS_S, Histogram, Histograms
from daemon.core.timing import NS_PER_S


def test_a_duration_counts_in_the_first_bucket_that_is_as_long_and_in_all_longer_ones() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.0005, 0.00051, 0.03, 5.0, 60.0):
        histogram.add(round(seconds * NS_PER_S))
    found = histogram.read()
    at_most = dict(zip(BOUNDS_S, found.at_most, strict=True))
    assert (at_most[0.0005], at_most[0.001], at_most[0.025], at_most[0.05], at_most[5.0]) == (2, 3, 3, 4, 5)
    assert (found.count, found.sum_s) == (6, 65.03101)


def test_no_duration_is_lost_that_several_threads_add() -> None:
    histograms = Histograms()

    def add() -> None:
        for _ in range(5000):
            histograms.of("scene").add(1)

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert histograms.of("scene").read().count == 20_000
