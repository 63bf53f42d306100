"""How streams share one machine: what a run with some of them came to, and which targets it misses; pure rules."""

from collections.abc import Sequence

from benchmarks.measured import Measured, Taken, percentile
from benchmarks.memory import TARGET_MB

LOSES = 0.95
"""Streams of which less than this part of the pictures is recognised are more than the machine can do."""

TARGET_CPU = 1.1
TARGET_SHARE = 0.8
TARGET_INTERVALS = 3


def figures(measured: Measured, topics: Sequence[str]) -> dict:
    """What one run came to: rates of all streams in ascending order, lateness of the one that is worst.

    All want the same, so the fair share of each is the mean of what all get, in pictures: they are what costs. An
    interval is the time from one moment of a stream to its next, whatever made them.
    """
    taken = [measured.by_topic.get(topic, Taken()) for topic in topics]
    pictures_s = sorted(len(stream.latencies_ms) / measured.seconds for stream in taken)
    late = [_lateness(stream, measured.seconds) for stream in taken]
    p99_ms, intervals_ms = max(late, key=lambda pair: pair[0] / pair[1])
    first, last = measured.footprints[0], measured.footprints[-1]
    return {
        "streams": len(topics),
        "cpu_ms_s": measured.cpu_ms / measured.seconds,
        "cpu_ms_s_a_stream": measured.cpu_ms / measured.seconds / len(topics),
        "cpu_ms_a_moment": measured.cpu_ms_a_moment,
        "pictures_s": pictures_s,
        "moments_s": sorted(stream.moments / measured.seconds for stream in taken),
        "share": pictures_s[0] * len(topics) / sum(pictures_s) if sum(pictures_s) else 0.0,
        "p50_ms": percentile(measured.latencies_ms or [p99_ms], 0.5),
        "p99_ms": p99_ms,
        "intervals_ms": intervals_ms,
        "pss_mb": measured.peak_pss_mb,
        "grown_mb": last.allocated_mb - first.allocated_mb,
        "descriptors": last.descriptors,
        "threads": last.threads,
    }


def _lateness(stream: Taken, seconds: float) -> tuple[float, float]:
    """The p99 of a stream, and what it must be under; without a picture, one has waited as long as the run."""
    intervals_ms = TARGET_INTERVALS * seconds * 1000 / max(1, stream.moments)
    return percentile(stream.latencies_ms or [seconds * 1000], 0.99), intervals_ms


def is_overloaded(row: dict) -> bool:
    """Whether the machine could not recognise what the cameras sent."""
    return sum(row["pictures_s"]) < LOSES * row["fps"] * row["streams"]


def misses(row: dict, first: dict) -> list[str]:
    """Which targets a run misses, in words; its CPU time is held against that of the first at the same frame rate."""
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
    """What one stream more takes, from the fewest to the most at one frame rate; None where only one was run."""
    alike = sorted((row["streams"], row["pss_mb"]) for row in rows if row["fps"] == rows[0]["fps"])
    (few, few_mb), (many, many_mb) = alike[0], alike[-1]
    return (many_mb - few_mb) / (many - few) if many > few else None
