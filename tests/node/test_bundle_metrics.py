"""How a bundle does: what is counted since it took over, and what of its latest moments."""

from daemon.node.latency import WINDOW_MOMENTS, BundleMonitor

MS = 1_000_000


def test_before_its_first_moment_there_is_nothing_to_tell_but_errors() -> None:
    errors = [3]
    monitor = BundleMonitor(lambda: errors[0])
    errors[0] = 7
    monitor.begin()
    errors[0] = 9
    metrics = monitor.read()
    assert (metrics.moments, metrics.errors, metrics.p99_ms, metrics.mean_top_score) == (
        0,
        2,
        None,
        None,
    )


def test_moments_and_errors_count_from_its_beginning_latencies_and_scores_are_the_latest() -> None:
    monitor = BundleMonitor(lambda: 0)
    monitor.begin()
    for _ in range(100):
        monitor.record(900 * MS, 0.1)
    for number in range(WINDOW_MOMENTS):
        monitor.record(number * MS, 0.8)
    metrics = monitor.read()
    assert metrics.moments == WINDOW_MOMENTS + 100
    assert metrics.p99_ms == 495
    assert abs((metrics.mean_top_score or 0) - 0.8) < 1e-9
