"""What benchmarks compute from their measurements, and the recordings that they use."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.bare import Pace
from benchmarks.history import Run
from benchmarks.history import result_of as result_of_history
from benchmarks.home import result_of
from benchmarks.idle import result_of as result_of_idle
from benchmarks.measured import Measured, TopicStats, captured_at, percentile
from benchmarks.memory import assess
from benchmarks.page import Look, Phase, Runs
from benchmarks.page import result_of as result_of_page
from benchmarks.process import Footprint
from benchmarks.repeat import write_repeated
from benchmarks.sharing import figures, is_overloaded, misses, pss_a_stream_mb
from benchmarks.teaching import Fit
from benchmarks.teaching import result_of as result_of_fits

from daemon.config.streams import ReplayConfig, StreamConfig
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame
from daemon.sources.factory import build_sources
from tests.helpers.clips import write_clip

FOOTPRINT = Footprint(pss_mb=100.0, allocated_mb=60.0, descriptors=12, threads=8)


@pytest.mark.parametrize("seconds", [1.9, 2.0])
@pytest.mark.parametrize("sound_hz", [16_000, 48_000])
def test_a_repeated_recording_plays_without_a_drop(tmp_path: Path, seconds: float, sound_hz: int) -> None:
    once = write_clip(tmp_path / "once.mp4", seconds=seconds, fps=20, sound_hz=sound_hz)
    long = tmp_path / "long.mp4"
    assert write_repeated(once, long, 5) == pytest.approx(3 * seconds, abs=0.2)
    counters = {modality: Counters() for modality in MODALITIES}
    stream = StreamConfig(replay=ReplayConfig(file=str(long), loop=False, pace="fast"))
    (source,) = build_sources(stream, sample_rate_hz=16_000, picture=True, counters=counters).values()
    items: list[Captured] = []
    source.run(items.append, threading.Event())
    assert sum(isinstance(item, Frame) for item in items) == 3 * round(seconds * 20)
    assert [item.gap for item in items if isinstance(item, Block)].count(True) == 1  # the first block
    assert [dict(found.dropped) for found in counters.values()] == [{}, {}, {}]


def test_a_picture_with_several_moments_counts_once() -> None:
    stats = TopicStats()
    for captured_s, now_s in [(10.0, 10.1), (10.0001, 10.2), (10.1, 10.25), (None, 10.3), (10.0, 10.4)]:
        stats.add(captured_s, now_s)
    assert stats.moments == 5
    assert stats.latencies_ms == pytest.approx([100, 150])


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [({"image": {"age_ms": 0.0}}, 1.25), ({"image": {"age_ms": 50.0}}, 1.2), ({"audio": {"age_ms": 0.0}}, None)],
)
def test_the_time_of_a_picture_follows_from_the_age_in_its_moment(modalities: dict, expected: float | None) -> None:
    payload = {"time": "1970-01-01T00:00:01.250000Z", "modalities": modalities}
    assert captured_at(payload) == (expected if expected is None else pytest.approx(expected))


def run(*pictures: int, late_ms: float = 50.0, cpu_ms: float = 1000.0, grown_mb: float = 0.0) -> dict:
    """The figures of ten seconds: each stream got this many pictures, and two moments a second from sound."""
    by_topic = {str(number): TopicStats(count + 20, [late_ms] * count) for number, count in enumerate(pictures)}
    footprints = [FOOTPRINT, replace(FOOTPRINT, allocated_mb=FOOTPRINT.allocated_mb + grown_mb)]
    measured = Measured(by_topic, 10.0, cpu_ms * len(pictures), footprints)
    return {"fps": 10, **figures(measured, [str(number) for number in range(len(pictures))])}


def test_figures_of_streams() -> None:
    row = run(40, 60, 50)
    assert row["pictures_s"] == [4, 5, 6]
    assert row["moments_s"] == [6, 7, 8]
    assert row["share"] == pytest.approx(0.8)
    assert (row["cpu_ms_s"], row["cpu_ms_s_a_stream"]) == (300, 100)
    assert (row["p99_ms"], row["intervals_ms"]) == (50, 375)  # of the stream whose intervals are shortest


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (run(100, 100), ""),
        (run(100, 100, cpu_ms=1110.0), "1.11 x the CPU time"),
        (run(30, 60), "67% of its fair share"),
        (run(0, 100), "0% of its fair share"),
        (run(100, 100, late_ms=250.0), "p99 250 ms"),
        (run(100, 100, grown_mb=5.5), "grew by 5.5 MB"),
    ],
)
def test_missed_targets_of_streams_are_listed(row: dict, expected: str) -> None:
    missed = misses(row, run(100))
    assert all(what.startswith("2 at 10 fps: ") for what in missed)
    assert expected in "\n".join(missed) if expected else not missed


def test_the_cpu_time_of_another_frame_rate_is_not_compared() -> None:
    assert not misses({**run(100, cpu_ms=3000.0), "fps": 30}, run(100))


@pytest.mark.parametrize(("pictures", "expected"), [((100, 100), False), ((96, 95), False), ((100, 80), True)])
def test_the_machine_is_overloaded_if_streams_lose_pictures(pictures: tuple[int, ...], expected: bool) -> None:
    assert is_overloaded(run(*pictures)) is expected


def test_the_memory_of_one_more_stream() -> None:
    rows = [{"fps": 10, "streams": 8, "pss_mb": 142.0}, {"fps": 10, "streams": 1, "pss_mb": 100.0}]
    assert pss_a_stream_mb([*rows, {"fps": 30, "streams": 8, "pss_mb": 200.0}]) == 6
    assert pss_a_stream_mb(rows[:1]) is None


@pytest.mark.parametrize(
    ("later", "speed", "missed"),
    [
        ({}, None, []),
        ({"allocated_mb": 65.0}, 10.0, []),
        ({"allocated_mb": 65.2}, None, ["allocated memory grew by 5.2 MB"]),
        ({"descriptors": 13, "threads": 7}, None, ["1 more descriptors"]),
        ({"threads": 10}, None, ["2 more threads"]),
        ({}, 9.9, ["only 9.9 times as fast as real time"]),
    ],
)
def test_missed_targets_of_memory_are_listed(later: dict, speed: float | None, missed: list[str]) -> None:
    assert assess([FOOTPRINT, replace(FOOTPRINT, **later)], speed)["missed"] == missed


def test_a_process_that_stops_at_the_last_sample_hides_no_growth() -> None:
    ending = replace(FOOTPRINT, allocated_mb=1.0, descriptors=1, threads=1)
    assert assess([FOOTPRINT, replace(FOOTPRINT, threads=10), ending], None)["missed"] == ["2 more threads"]


def test_memory_of_an_idle_node_by_its_kinds() -> None:
    mappings = "".join(
        f"7f0000200000-7f0000400000 r--p 0 fe:00 297    {path}\nSize: 9 kB\nRss:  {all_kb} kB\nAnonymous: {own_kb} kB\n"
        for path, all_kb, own_kb in (
            ("/opt/perceptd/with a space.so", 30_000, 2_000),
            ("/memfd:perceptd (deleted)", 12_000, 0),
            ("[heap]", 80_000, 80_000),
            ("", 7_999, 7_999),
        )
    )
    result = result_of_idle(mappings.splitlines(keepends=True), 20.0)
    assert result["mb"] == pytest.approx({"allocated": 89.999, "models": 12.0, "files": 28.0})
    assert (result["total_mb"], result["met"]) == (pytest.approx(129.999), True)
    assert not result_of_idle([*mappings.splitlines(), "0-1 rw-p 0 0:0 0", "Rss: 1 kB", "Anonymous: 1 kB"], 20.0)["met"]


def test_one_sample_is_not_enough() -> None:
    with pytest.raises(SystemExit, match="fewer than two samples"):
        assess([FOOTPRINT], None)


@pytest.mark.parametrize(("part", "expected"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_percentiles(part: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), part) == expected


@pytest.mark.parametrize(("rate_hz", "expected"), [(None, 30), (2.0, 2), (7.0, 6), (50.0, 30)])
def test_the_bare_loop_encodes_at_most_rate_hz_pictures(rate_hz: float | None, expected: int) -> None:
    pace = Pace(rate_hz)
    assert sum(pace.is_due(1000.1 + picture / 30) for picture in range(30)) == expected


@pytest.mark.parametrize(("cpu_ms", "pss_mb", "met"), [(1300, 130.0, [True, True]), (1310, 130.5, [False, False])])
def test_the_targets_of_home_are_those_of_a_second(cpu_ms: float, pss_mb: float, met: list[bool]) -> None:
    daemon = Measured({"topic": TopicStats(moments=55)}, 10.0, cpu_ms, [replace(FOOTPRINT, pss_mb=pss_mb)])
    bare = Measured({"topic": TopicStats(moments=60)}, 10.0, 1000.0, [FOOTPRINT])
    result = result_of([daemon], [bare])
    assert list(result["targets"].values()) == met
    assert result["cpu_ratio"]["median"] == pytest.approx(cpu_ms / 1000)
    assert (result["daemon"]["moments_s"], result["bare"]["cpu_ms_s"]) == (5.5, 100.0)


@pytest.mark.parametrize(
    ("cpu_s", "peak_mb", "dropped", "met"),
    [
        (9.0, 249.0, {}, [True, True, True]),
        (11.0, 249.0, {}, [False, True, True]),
        (9.0, 251.0, {"image": {"busy": 1}}, [True, False, False]),
    ],
)
def test_a_fit_is_judged_by_its_own_processor_time(
    cpu_s: float, peak_mb: float, dropped: dict[str, object], met: list[bool]
) -> None:
    # a machine that does other work too makes the clock run on
    fit = Fit(wall_s=60.0, cpu_s=cpu_s, peak_mb=peak_mb)
    assert list(result_of_fits([fit], [fit], dropped)["targets"].values()) == met


def test_what_a_history_costs_is_the_median_within_pairs() -> None:
    # the machine was slower during the second pair
    pairs = [(Run(0.100, 90, 0), Run(0.104, 93, 2.5)), (Run(0.2, 91, 0), Run(0.206, 92, 2.0)), (Run(0.1, 90, 0),) * 2]
    result = result_of_history(pairs)
    assert result["more"]["core"] == pytest.approx(0.004)
    assert (result["ring_mb"], result["met"]) == (2.5, True)
    assert not result_of_history([(Run(0.1, 90, 0), Run(0.111, 93, 2.5))])["met"]


PHASE = Phase(core=0.2, pss_mb=90.0, p99_ms=20.0)
LOOK = Look(PHASE, replace(PHASE, core=0.26, p99_ms=22.0), PHASE, pictures_s=4.9, messages_s=4.8, page_pss_mb=20.0)


@pytest.mark.parametrize(
    ("looks", "older", "missed"),
    [
        ([LOOK, LOOK], [], []),
        ([LOOK], [replace(PHASE, core=0.19), replace(PHASE, core=0.21)], []),
        ([LOOK], [replace(PHASE, pss_mb=88.0)], ["while nobody looks, the daemon takes more memory than before"]),
        ([replace(LOOK, looked=replace(PHASE, core=0.27))], [], ["a visitor costs more than 0.06 of a core"]),
        (
            [replace(LOOK, looked=replace(PHASE, p99_ms=22.5))],
            [],
            ["a visitor makes recognitions more than 2 ms later"],
        ),
        ([replace(LOOK, page_pss_mb=45.0)], [], ["the page takes 45 MB or more"]),
        ([LOOK, replace(LOOK, pictures_s=3.9)], [], ["the visitor gets less than 4 pictures a second"]),
    ],
)
def test_the_page_is_judged_by_what_a_visitor_costs(looks: list[Look], older: list[Phase], missed: list[str]) -> None:
    result = result_of_page(Runs(looks, [PHASE], older))
    assert result["missed"] == missed
    assert result["kept"] == {"core": 0.2, "pss_mb": 90.0, "p99_ms": 20.0}
