"""The level of a real microphone, and what counts as a clap."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.streams import MicrophoneConfig
from daemon.setup.found import FoundMicrophone, Level, SearchFailed
from daemon.setup.levels import CLAP_PEAK_DBFS, LevelMeter, heard_clap, level_of
from daemon.setup.microphones import choices
from daemon.sources.microphone import MicrophoneDevice

QUIET = -60.0


def levels(*peaks: float) -> list[Level]:
    return [Level(peak - 12, peak) for peak in peaks]


def room(*peaks: float) -> list[Level]:
    """Return the levels of a quiet room with these peaks in its middle."""
    return levels(*[QUIET] * 6, *peaks, *[QUIET] * 6)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (room(-10), True),
        (room(-14, -10, -25, -40), True),
        (room(-10, -12, -30, -45), True),
        (room(-35), True),
        (levels(-10, *[QUIET] * 10), True),
        # a clap in a loud room
        (levels(*[-30] * 6, -5, *[-30] * 6), True),
        ([], False),
        (levels(-10), False),
        (room(), False),
        (levels(*[-100] * 20), False),
        (levels(*[-10] * 20), False),
        # it is louder than the room, and too soft for a clap
        (room(-48), False),
        # music, speech and a door bell last
        (room(*[-10] * 8), False),
        (room(-10, -12, -11, -10, -9, -12), False),
        # it goes on until the end
        (levels(*[QUIET] * 8, -10), False),
        # the noise rises slowly
        (levels(*np.linspace(QUIET, -5, 30)), False),
    ],
)
def test_a_clap_is_short_and_loud(heard: Sequence[Level], expected: bool) -> None:
    assert heard_clap(heard) is expected


@given(st.floats(-100, 0), st.integers(0, 60))
def test_a_constant_sound_is_no_clap(peak: float, count: int) -> None:
    assert not heard_clap(levels(*[peak] * count))


@given(st.lists(st.floats(-100, CLAP_PEAK_DBFS, exclude_max=True), max_size=40))
def test_nothing_soft_is_a_clap(peaks: list[float]) -> None:
    assert not heard_clap(levels(*peaks))


@pytest.mark.parametrize(
    ("amplitude", "dbfs"), [(1.0, 0.0), (0.5, -6.0), (0.001, -60.0), (0.0, -100.0), (1e-9, -100.0)]
)
def test_a_level_is_in_decibels_below_full_scale(amplitude: float, dbfs: float) -> None:
    square_wave = np.resize(np.float32([amplitude, -amplitude]), 1600)
    level = level_of(square_wave)
    assert level.dbfs == pytest.approx(dbfs, abs=0.1)
    assert level.peak_dbfs == pytest.approx(dbfs, abs=0.1)


def test_each_microphone_is_listed_once() -> None:
    plugs = [
        MicrophoneDevice(name, number, 2, 44_100, name, number == 1) for number, name in enumerate(("pulse", "default"))
    ]
    card = MicrophoneDevice("USB Audio: - (hw:1,0)", 2, 1, 48_000, "USB Audio: - (hw:1,0)", False)
    server = [
        MicrophoneDevice(f"pulse:{name}", None, 1, 48_000, name.title(), name == "desk") for name in ("cam", "desk")
    ]
    assert choices([]) == choices(plugs) == []
    assert choices([*plugs, card]) == [FoundMicrophone(card.device, card.name)]
    assert choices([*plugs, card, *server]) == [
        FoundMicrophone("pulse:desk", "Desk", is_default=True),
        FoundMicrophone("pulse:cam", "Cam"),
    ]


@pytest.mark.xdist_group("sound")
def test_a_microphone_that_is_missing_is_named() -> None:
    with (
        LevelMeter(None, MicrophoneConfig(device="no such microphone")) as meter,
        pytest.raises(SearchFailed, match="microphone no such microphone: "),
    ):
        next(meter.levels())
