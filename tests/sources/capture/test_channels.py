"""The first channel with sound is used, until it is silent and another has sound."""

import pytest

from daemon.sources.capture.microphone import ChannelSelection


@pytest.mark.parametrize(
    ("chunks", "channel"),
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
def test_the_selected_channel_after_chunks(chunks: list[str], channel: int) -> None:
    selection = ChannelSelection(patience=3)
    for chunk in chunks:
        selection.select([each == "s" for each in chunk])
    assert selection.channel == channel


def test_a_single_channel_is_always_used() -> None:
    selection = ChannelSelection(patience=1)
    assert [selection.select([True]) for _ in range(5)] == [0] * 5
