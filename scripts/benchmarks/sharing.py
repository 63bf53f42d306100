"""Computes how streams share one machine: figures of a run, and the targets that it misses. Pure functions."""

from collections.abc import Sequence

from benchmarks.measured import Measured, TopicStats, percentile
from benchmarks.memory import TARGET_MB

# The machine is overloaded if less than this part of the pictures is recognised.
RECOGNISED_PART = 0.95

TARGET_CPU = 1.1
TARGET_SHARE = 0.8
TARGET_INTERVALS = 3


def figures(measured: Measured, topics: Sequence[str]) -> dict:
    """The figures of one run: rates of all streams in ascending order, and the lateness of the latest one.

    All streams need the same. So the fair share of each is the mean of all, counted in pictures, which cause the cost.
    An interval is the time from one moment of a stream to its next.
    """
    stats = [measured.by_topic.get(topic, TopicStats()) for topic in topics]
    pictures_s = sorted(len(stream.latencies_ms) / measured.seconds for stream in stats)
    late = [_lateness(stream, measured.seconds) for stream in stats]
    p99_ms, intervals_ms = max(late, key=lambda pair: pair[0] / pair[1])
    first, last = measured.footprints[0], measured.footprints[-1]
    return {
        "streams": len(topics),
        "cpu_ms_s": measured.cpu_ms / measured.seconds,
        "cpu_ms_s_a_stream": measured.cpu_ms / measured.seconds / len(topics),
        "cpu_ms_a_moment": measured.cpu_ms_a_moment,
        "pictures_s": pictures_s,
        "moments_s": sorted(stream.moments / measured.seconds for stream in stats),
        "share": pictures_s[0] * len(topics) / sum(pictures_s) if sum(pictures_s) else 0.0,
        "p50_ms": percentile(measured.latencies_ms or [p99_ms], 0.5),
        "p99_ms": p99_ms,
        "intervals_ms": intervals_ms,
        "pss_mb": measured.peak_pss_mb,
        "grown_mb": last.allocated_mb - first.allocated_mb,
        "descriptors": last.descriptors,
        "threads": last.threads,
    }


def _lateness(stream: TopicStats, seconds: float) -> tuple[float, float]:
    """The p99 of a stream, and its limit. A stream without a picture has waited as long as the run."""
    intervals_ms = TARGET_INTERVALS * seconds * 1000 / max(1, stream.moments)
    return percentile(stream.latencies_ms or [seconds * 1000], 0.99), intervals_ms


def is_overloaded(row: dict) -> bool:
    """Whether the machine could not recognise all pictures of the cameras."""
    return sum(row["pictures_s"]) < RECOGNISED_PART * row["fps"] * row["streams"]


def misses(row: dict, first: dict) -> list[str]:
    """The targets that a run misses, as text. CPU time is compared with the first run at the same frame rate."""
    missed = []
    cpu = row["cpu_ms_s_a_stream"] / first["cpu_ms_s_a_stream"]
    if row["fps"] == first["fps"] and cpu > TARGET_CPU:
        missed.append(f"a stream takes {cpu:.2f} x the CPU time of one of {first['streams']}")
    if row["share"] < TARGET_SHARE:
        missed.append(f"a stream gets {row['share']:.0%} of its fair share")
    if row["p99_ms"] >= row["intervals_ms"]:
        missed.append(f"p99 {row['p99_ms']:.0f} ms, {TARGET_INTERVALS} intervals are {row['intervals_ms']:.0f} ms")
    if row["grown_mb"] > TARGET_MB:
        missed.append(f"allocated memory grew by {row['grown_mb']:.1f} MB")
    return [f"{row['streams']} at {row['fps']} fps: {what}" for what in missed]


def pss_a_stream_mb(rows: Sequence[dict]) -> float | None:
    """PSS of one more stream, from the fewest to the most at one frame rate; None if only one was run."""
    alike = sorted((row["streams"], row["pss_mb"]) for row in rows if row["fps"] == rows[0]["fps"])
    (few, few_mb), (many, many_mb) = alike[0], alike[-1]
    return (many_mb - few_mb) / (many - few) if many > few else None
