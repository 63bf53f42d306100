"""What commands do to the switch of a stream: a table."""

import pytest

from daemon.control import _device_turned
from daemon.switches import Switch

OPEN, PAUSED = Switch(), Switch(paused=True)


@pytest.mark.parametrize(
    ("before", "device", "on", "after"),
    [
        (OPEN, "camera", False, Switch(blind=True)),
        (OPEN, "camera", True, OPEN),
        (OPEN, "microphone", False, Switch(muted=True)),
        (Switch(blind=True), "microphone", False, Switch(blind=True, muted=True)),
        (Switch(blind=True, muted=True), "camera", True, Switch(muted=True)),
        (PAUSED, "camera", False, PAUSED),
        # opening one device of a paused stream opens that one alone
        (PAUSED, "camera", True, Switch(muted=True)),
        (PAUSED, "microphone", True, Switch(blind=True)),
        (Switch(paused=True, muted=True), "microphone", True, Switch(blind=True)),
    ],
)
def test_a_device_is_opened_and_closed_alone(before: Switch, device: str, on: bool, after: Switch) -> None:
    assert _device_turned(before, device, on) == after
