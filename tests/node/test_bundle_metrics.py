"""The metrics of the active bundle: counts since it became active, and percentiles of the latest moments."""

from daemon.node.latency import WINDOW_MOMENTS, BundleMonitor

MS = 1_000_000


def test_before_the_first_moment_only_errors_are_known() -> None:
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


def test_moments_are_counted_from_the_beginning_and_latency_and_score_over_the_latest() -> None:
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
