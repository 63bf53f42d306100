"""The clock of a network stream: capture times from presentation and arrival times."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.network.arrival import UNTIE_NS, StreamClock

PTS_0_NS = 5000 * NS_PER_S
BASE_NS = 10**15
MIN_DELAY_NS = 80 * NS_PER_MS

times = st.integers(-(2**60), 2**60)


def stamps_s(arrivals_s: Iterable[tuple[float, float]], clock: StreamClock | None = None) -> list[float]:
    """Return the stamps of pictures with these presentation and arrival times, in seconds."""
    clock = clock or StreamClock()
    pairs = [(round(pts * NS_PER_S), round(arrived * NS_PER_S)) for pts, arrived in arrivals_s]
    return [(pts + clock.observe("image", pts, arrived)) / NS_PER_S for pts, arrived in pairs]


def steady(start: float, end: float, behind: float = 0.0) -> list[tuple[float, float]]:
    """Return ten pictures a second that arrive `behind` seconds after their presentation time."""
    return [(step / 10, step / 10 + behind) for step in range(round(start * 10), round(end * 10))]


@given(st.lists(st.tuples(st.sampled_from(["image", "audio"]), times, st.integers(0, 2**50)), min_size=1))
def test_no_stamp_lies_after_its_arrival(arrived_data: list[tuple[str, int, int]]) -> None:
    clock, now_ns = StreamClock(), 0
    for modality, pts_ns, later_ns in arrived_data:
        now_ns += later_ns
        assert pts_ns + clock.observe(modality, pts_ns, now_ns) <= now_ns


def stall(at: float, until: float) -> list[tuple[float, float]]:
    """Return pictures between `at` and `until` that all arrive at `until`."""
    return [(pts, max(arrived, until)) for pts, arrived in steady(at, until)]


@pytest.mark.parametrize("until", [10.3, 11, 14, 60])
def test_pictures_delayed_by_a_stall_keep_their_times(until: float) -> None:
    arrived_data = steady(0, 10) + stall(10, until) + steady(until, until + 10)
    assert stamps_s(arrived_data) == pytest.approx([pts for pts, _ in arrived_data])


@pytest.mark.parametrize("moved_s", [-500, -3, -1.5, 1.5, 3, 500])
def test_a_restarted_camera_clock_is_followed_at_once(moved_s: float) -> None:
    before = steady(1000, 1010)
    after = [(pts + moved_s, arrived) for pts, arrived in steady(1010, 1020)]
    assert stamps_s(before + after) == pytest.approx([arrived for _, arrived in before + after])


def test_one_wrong_time_does_not_affect_later_stamps() -> None:
    arrived_data = [*steady(0, 10), (10 + 3600, 10.0), *steady(10.1, 20)]
    assert stamps_s(arrived_data)[101:] == pytest.approx([pts for pts, _ in arrived_data[101:]])


def test_the_clock_follows_a_late_stream_after_four_seconds() -> None:
    stamps = stamps_s(steady(0, 10) + steady(10, 20, behind=2))
    ages = np.array([arrived for _, arrived in steady(10, 20, behind=2)]) - stamps[100:]
    assert ages[:40] == pytest.approx(2)
    assert ages[45:] == pytest.approx(0, abs=1e-6)


def test_the_clock_follows_a_small_delay_without_a_step() -> None:
    arrived_data = steady(0, 10) + steady(10, 400, behind=0.3)
    stamps = stamps_s(arrived_data)
    assert np.diff(stamps).max() < 0.1002
    assert stamps[-1] == pytest.approx(arrived_data[-1][1])


def pairs_of(steps: int, *, sound_late_s: float, clock: StreamClock | None = None) -> list[tuple[float, float]]:
    """Return the stamps of picture and sound of the same instants, ten a second, by how much they are after them."""
    clock, found = clock or StreamClock(), []
    for step in range(steps):
        pts_ns = step * NS_PER_S // 10
        now_ns = BASE_NS + pts_ns
        picture = pts_ns + clock.observe("image", pts_ns, now_ns) - now_ns
        sound = pts_ns + clock.observe("audio", pts_ns, now_ns + round(sound_late_s * NS_PER_S)) - now_ns
        found.append((picture / NS_PER_S, sound / NS_PER_S))
    return found


def test_sound_that_arrives_a_little_after_the_picture_keeps_its_time() -> None:
    assert pairs_of(400, sound_late_s=0.35) == [(0, 0)] * 400


def test_sound_that_arrives_seconds_after_the_picture_is_used_as_it_arrives() -> None:
    assert pairs_of(400, sound_late_s=3) == [(0, 3)] * 400


class Camera:
    """Sends a picture every 40 ms and sound every 20 ms, whose timelines a test may step. Its clock is observed.

    `ages_s` are the ages of the latest stamps on arrival, `stamps_ns` the stamps themselves.
    """

    def __init__(self, random: np.random.Generator, jitter_s: float, sound_late_s: float = 0.0) -> None:
        self.clock = StreamClock()
        self.step_s = {"image": 0.0, "audio": 0.0}
        self.stamps_ns: dict[str, int] = {}
        self.ages_s: dict[str, float] = {}
        self._random, self._jitter_s, self._sound_late_s = random, jitter_s, sound_late_s
        self._tick = 0

    def send(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self._tick += 1
            self._send("audio", self._sound_late_s)
            if self._tick % 2 == 0:
                self._send("image", 0.0)

    def _send(self, modality: str, late_s: float) -> None:
        at_ns = self._tick * NS_PER_S // 50
        arrived_ns = BASE_NS + at_ns + round((late_s + self._random.uniform(0, self._jitter_s)) * NS_PER_S)
        pts_ns = at_ns + round(self.step_s[modality] * NS_PER_S)
        self.stamps_ns[modality] = pts_ns + self.clock.observe(modality, pts_ns, arrived_ns)
        assert self.stamps_ns[modality] <= arrived_ns
        self.ages_s[modality] = (arrived_ns - self.stamps_ns[modality]) / NS_PER_S

    @property
    def apart_s(self) -> float:
        """By how much the stamps of picture and sound of the same instant differ."""
        return abs(self.stamps_ns["image"] - self.stamps_ns["audio"]) / NS_PER_S


# wraps of 33 bits at 90 kHz, and of 32 bits at 90 and 8 kHz
WRAPS_S = [2**33 / 90_000, 2**32 / 90_000, 2**32 / 8000]
steps_s = st.sampled_from([-3600, 3600, *WRAPS_S, *(-wrap for wrap in WRAPS_S)]) | st.floats(-10, 10)


@given(
    st.lists(st.tuples(st.sampled_from(["image", "audio"]), steps_s, st.floats(0, 8)), min_size=1, max_size=5),
    st.floats(0, 0.1),
    st.floats(0, 0.2),
    st.integers(0, 2**32),
)
def test_any_steps_of_the_two_timelines_are_followed_within_five_seconds(
    steps: list[tuple[str, float, float]], jitter_s: float, sound_late_s: float, seed: int
) -> None:
    camera = Camera(np.random.default_rng(seed), jitter_s, sound_late_s)
    camera.send(3)
    for modality, step_s, then_s in steps:
        camera.step_s[modality] += step_s
        camera.send(then_s)
    camera.send(5)
    for _ in range(50):
        camera.send(0.04)
        assert max(camera.ages_s.values()) <= UNTIE_NS / NS_PER_S + jitter_s


@pytest.mark.parametrize("step_s", [-3600, 3600, -1.5, 1.5, -0.7, 0.7, *WRAPS_S])
@pytest.mark.parametrize("first", ["image", "audio"])
def test_picture_and_sound_are_tied_again_once_both_have_stepped_alike(first: str, step_s: float) -> None:
    camera = Camera(np.random.default_rng(3), jitter_s=0.03, sound_late_s=0.15)
    camera.send(10)
    assert camera.apart_s < 0.001
    camera.step_s[first] += step_s
    camera.send(5)
    assert max(camera.ages_s.values()) < 0.4
    camera.step_s["audio" if first == "image" else "image"] += step_s
    camera.send(40)
    assert max(camera.ages_s.values()) < 0.4
    assert camera.apart_s < 0.001


@given(st.floats(0, 0.34), st.integers(0, 2**32))
def test_jitter_does_not_untie_picture_and_sound(jitter_s: float, seed: int) -> None:
    camera = Camera(np.random.default_rng(seed), jitter_s)
    camera.send(2)
    for _ in range(250):
        camera.send(0.04)
        # the offset may have fallen between the two
        assert camera.apart_s <= jitter_s / 10 + 0.001


def test_a_modality_that_has_ended_does_not_hold_the_other() -> None:
    clock = StreamClock()
    clock.observe("audio", 0, BASE_NS)
    for second in range(4000):
        pts_ns, now_ns = round(second * NS_PER_S * (1 - 200e-6)), BASE_NS + second * NS_PER_S
        age_ns = now_ns - pts_ns - clock.observe("image", pts_ns, now_ns)
    assert age_ns < 10 * NS_PER_MS


def arrivals(
    seconds: int, ppm: float, random: np.random.Generator, jitter_ms: float, bursts_s: list[tuple[float, float]]
) -> list[tuple[str, int, int, int]]:
    """Return pictures (25 a second) and sound (20) as modality, true time, presentation time, arrival.

    They are ordered by arrival. Sound and picture wait for each other, as they do in one connection.
    """
    at_s = np.sort(np.concatenate([np.arange(0, seconds, 1 / 25), np.arange(0, seconds, 1 / 20) + 0.003]))
    arrived_s = at_s + random.exponential(jitter_ms / 1000, len(at_s))
    for begin, length in bursts_s:
        arrived_s = np.where((arrived_s > begin) & (arrived_s < begin + length), begin + length, arrived_s)
    arrived_s = np.maximum.accumulate(arrived_s)
    modalities = np.where(np.round(at_s * 1000) % 50 == 3, "audio", "image").tolist()
    true = (BASE_NS + at_s * 1e9).astype(np.int64).tolist()
    pts = (PTS_0_NS + at_s * 1e9 * (1 + ppm * 1e-6)).astype(np.int64).tolist()
    arrived = (BASE_NS + MIN_DELAY_NS + arrived_s * 1e9).astype(np.int64).tolist()
    return list(zip(modalities, true, pts, arrived, strict=True))


def errors_ns(clock: StreamClock, arrived_data: list[tuple[str, int, int, int]]) -> list[int]:
    """Return by how much each stamp is after the true time, without the delay that all data have."""
    return [pts + clock.observe(kind, pts, came) - MIN_DELAY_NS - true for kind, true, pts, came in arrived_data]


@pytest.mark.parametrize("ppm", [-200, 200])
def test_stamps_follow_a_drifting_clock_for_an_hour_within_40_ms(ppm: int) -> None:
    random = np.random.default_rng(7)
    bursts = [(float(at), float(random.uniform(0.5, 4))) for at in random.uniform(60, 3600, 40)]
    clock = StreamClock()
    errors = np.array(errors_ns(clock, arrivals(3600, ppm, random, 30, bursts))) / NS_PER_MS
    # in the first second there may be no packet without delay
    assert np.abs(errors[50:]).max() < 40
    assert clock.drift_ppm == pytest.approx(ppm, abs=10)


@given(
    st.floats(-300, 300),
    st.floats(0, 60),
    st.lists(st.tuples(st.floats(5, 110), st.floats(0.1, 4)), max_size=5),
    st.integers(0, 2**32),
)
def test_stamps_stay_within_40_ms_for_any_drift_and_jitter(
    ppm: float, jitter_ms: float, bursts_s: list[tuple[float, float]], seed: int
) -> None:
    arrived_data = arrivals(120, ppm, np.random.default_rng(seed), jitter_ms, bursts_s)
    errors = np.array(errors_ns(StreamClock(), arrived_data)) / NS_PER_MS
    assert np.abs(errors[150:]).max() < 40


@pytest.mark.parametrize("days", [400, 4000])
def test_years_of_uptime_change_no_stamp(days: int) -> None:
    """Of a camera whose own times begin anew every 13 hours, as those of RTP do; FFmpeg unwraps them."""

    def stamps(base_ns: int) -> list[int]:
        clock, found = StreamClock(), []
        for step in range(600):
            pts_ns, arrived_ns = PTS_0_NS + base_ns + step * 40_000_000, base_ns + step * 40_000_123 + step % 7 * 10**6
            found.append(pts_ns + clock.observe("image", pts_ns, arrived_ns) - base_ns)
        return found

    assert stamps(days * 86_400 * NS_PER_S) == stamps(0)
