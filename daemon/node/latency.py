"""Metrics of a bundle, and latencies of recognitions, over the latest moments."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from daemon.core.records import Counters, Modality
from daemon.core.timing import NS_PER_MS
from daemon.updates.state import BundleMetrics

# five of so many samples lie above their p99
WINDOW_MOMENTS = 500

# about 15 seconds at 30 recognitions a second
WINDOW_DURATIONS = 512

ERROR_REASONS = ("encoder_failed", "fusion_failed")
NOT_FINITE = "recognition_not_finite"


class ErrorCount:
    """Counts what has failed in encoders and fusion since the daemon started, under any bundle."""

    def __init__(self, streams: Iterable[Mapping[Modality, Counters]], published: Counters) -> None:
        """`streams` are the counters of each stream, `published` those of the MQTT session."""
        self._streams = list(streams)
        self._published = published

    def total(self) -> int:
        """Return the number of errors; callable from any thread."""
        counters = [one for stream in self._streams for sense in stream.values() for one in sense.parts]
        failed = sum(one.dropped.get(reason, 0) for one in counters for reason in ERROR_REASONS)
        return failed + self._published.dropped.get(NOT_FINITE, 0)


class BundleMonitor:
    """Collects the metrics of one bundle. The thread that fuses records; any other thread reads."""

    def __init__(self, error_count: Callable[[], int]) -> None:
        """`error_count` returns the number of errors since the daemon started, under any bundle."""
        self._error_count = error_count
        self._errors_before = error_count()
        self._latest: deque[tuple[int, float]] = deque(maxlen=WINDOW_MOMENTS)
        self._moments = 0

    def begin(self) -> None:
        """Start to count errors: the bundle becomes active now."""
        self._errors_before = self._error_count()

    def record(self, latency_ns: int, top_score: float) -> None:
        """Add one moment: the time from its capture to its recognition, and its highest score."""
        self._latest.append((latency_ns, top_score))
        self._moments += 1

    def read(self) -> BundleMetrics:
        """Return moments and errors since `begin`, with latency and score of the latest moments."""
        latest, errors = self._latest.copy(), self._error_count() - self._errors_before
        if not latest:
            return BundleMetrics(moments=0, errors=errors, p99_ms=None, mean_top_score=None)
        latencies_ns = [latency_ns for latency_ns, _ in latest]
        return BundleMetrics(
            moments=self._moments,
            errors=errors,
            p99_ms=_percentile(latencies_ns, 99) / NS_PER_MS,
            mean_top_score=sum(score for _, score in latest) / len(latest),
        )


class Latencies:
    """Keeps the latest durations. One thread adds while another reads."""

    def __init__(self) -> None:
        self._durations_ns: deque[int] = deque(maxlen=WINDOW_DURATIONS)

    def add(self, duration_ns: int) -> None:
        """Add one duration."""
        self._durations_ns.append(duration_ns)

    def percentile_ms(self, percent: int) -> float | None:
        """Return the percentile in milliseconds, or None while there is no duration."""
        durations_ns = list(self._durations_ns.copy())
        return round(_percentile(durations_ns, percent) / NS_PER_MS, 3) if durations_ns else None


def _percentile(durations_ns: list[int], percent: int) -> int:
    ordered = sorted(durations_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
