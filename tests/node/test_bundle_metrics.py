"""How a bundle does: what is counted since it took over, and what of its latest moments."""

from daemon.node.stream_publisher import LATEST_MOMENTS, VitalSigns

MS = 1_000_000


def test_before_its_first_moment_there_is_nothing_to_tell_but_errors() -> None:
    errors = [3]
    signs = VitalSigns(lambda: errors[0])
    errors[0] = 7
    signs.begin()
    errors[0] = 9
    bundle_metrics = signs.read()
    assert (bundle_metrics.moments, bundle_metrics.errors, bundle_metrics.p99_ms, bundle_metrics.mean_top_score) == (
        0,
        2,
        None,
        None,
    )


def test_moments_and_errors_count_from_its_beginning_latencies_and_scores_are_the_latest() -> None:
    signs = VitalSigns(lambda: 0)
    signs.begin()
    for _ in range(100):
        signs.take(900 * MS, 0.1)
    for number in range(LATEST_MOMENTS):
        signs.take(number * MS, 0.8)
    bundle_metrics = signs.read()
    assert bundle_metrics.moments == LATEST_MOMENTS + 100
    assert bundle_metrics.p99_ms == 495
    assert abs((bundle_metrics.mean_top_score or 0) - 0.8) < 1e-9
