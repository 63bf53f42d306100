"""The first channel that carries sound is used, and left when it goes dead."""

import pytest

from daemon.sources.capture.microphone import ChannelChoice


@pytest.mark.parametrize(
    ("pieces", "used"),
    [
        ([], 0),
        (["..", ".."], 0),
        (["sx"] * 2, 0),
        (["sx"] * 3, 1),
        (["sx"] * 3 + ["xs"] * 2, 1),
        (["sx"] * 3 + ["xs"] * 3, 0),
        (["ss"] * 9, 0),
        (["ss"] * 9 + ["sx"], 1),
        (["sx", "sx", "xx", "sx", "sx"], 0),
    ],
)
def test_the_channel_used_after_pieces(pieces: list[str], used: int) -> None:
    choice = ChannelChoice(patience=3)
    for piece in pieces:
        choice.choose([channel == "s" for channel in piece])
    assert choice.used == used


def test_one_channel_is_used_whatever_it_carries() -> None:
    choice = ChannelChoice(patience=1)
    assert [choice.choose([True]) for _ in range(5)] == [0] * 5
