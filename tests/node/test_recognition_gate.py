"""Which recognitions are published in each mode of `mqtt.recognitions.publish`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.mqtt import RecognitionsConfig
from daemon.core.timing import NS_PER_S
from daemon.node.recognition_gate import RecognitionGate

SECONDS = 20
SIGHT, NONE = frozenset({"image"}), frozenset()


def passing(rate_hz: float, times_ns: list[int]) -> list[int]:
    gate = RecognitionGate(RecognitionsConfig(publish="rate", max_rate_hz=rate_hz))
    return [t for t in times_ns if gate.passes(t, "7", SIGHT)]


@pytest.mark.parametrize("jitter", [0.0, 0.2])
@pytest.mark.parametrize("rate_hz", [0.5, 1, 2.5, 5, 7, 10, 16, 20, 24, 29, 30])
def test_at_30_fps_nearly_the_configured_rate_passes(rate_hz, jitter):
    times = [int((n + jitter * (n * 7919 % 13 / 6 - 1)) * NS_PER_S / 30) for n in range(30 * SECONDS)]
    assert len(passing(rate_hz, times)) == pytest.approx(rate_hz * SECONDS, rel=0.02, abs=1)


def test_moments_slower_than_the_rate_all_pass():
    times = [n * NS_PER_S // 4 for n in range(40)]
    assert passing(5, times) == times


@given(
    st.floats(0.1, 1000),
    st.lists(st.integers(0, 5 * NS_PER_S), min_size=2, max_size=80).map(sorted),
    st.integers(0, 10**15),
)
def test_no_interval_has_more_recognitions_than_the_rate_allows(rate_hz, offsets, base_ns):
    times = passing(rate_hz, [base_ns + offset for offset in offsets])
    for first in range(len(times)):
        for last in range(first, len(times)):
            interval_s = (times[last] - times[first]) / NS_PER_S
            assert last - first + 1 <= rate_hz * interval_s + 2 + 1e-6


def test_after_a_pause_the_schedule_restarts_without_a_burst():
    times = [0, *range(10 * NS_PER_S, 11 * NS_PER_S, NS_PER_S // 100)]
    assert passing(5, times)[:4] == [0, *(10 * NS_PER_S + n * NS_PER_S // 10 for n in (0, 1, 3))]


def test_mode_every_passes_all_but_empty_moments():
    gate = RecognitionGate(RecognitionsConfig(publish="every"))
    assert [gate.passes(0, "7", senses) for senses in (SIGHT, SIGHT, NONE)] == [True, True, False]


def test_mode_none_passes_nothing():
    gate = RecognitionGate(RecognitionsConfig(publish="none"))
    assert not any(gate.passes(0, label, SIGHT) for label in ("7", "7", "8"))


@pytest.mark.parametrize("mode", ["every", "rate", "change", "none"])
def test_an_empty_moment_never_passes(mode):
    assert not RecognitionGate(RecognitionsConfig(publish=mode)).passes(0, "none", NONE)


def test_mode_change_passes_new_labels_and_new_modalities():
    gate = RecognitionGate(RecognitionsConfig(publish="change"))
    steps = [
        (("image",), "7", True),
        (("image",), "7", False),
        (("image", "audio"), "7", True),
        (("audio", "image"), "7", False),
        (("image", "audio"), "8", True),
        ((), "none", False),
        (("image", "audio"), "8", True),
    ]
    for senses, label, expected in steps:
        assert gate.passes(0, label, frozenset(senses)) is expected
