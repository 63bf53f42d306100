"""Which refusals are worth another try."""

import pytest

from daemon.mqtt.broker.refusals import can_pass


@pytest.mark.parametrize("code", [0x80, 0x83, 0x88, 0x89, 0x8B, 0x91, 0x93, 0x96, 0x97, 0x9F])
def test_what_a_broker_lacks_for_a_moment_can_pass(code: int) -> None:
    assert can_pass(code)


@pytest.mark.parametrize("code", [0x00, 0x10, 0x81, 0x82, 0x87, 0x8F, 0x90, 0x94, 0x95, 0x99, 0x9E, 0xA1, 0xA2])
def test_what_the_packet_itself_is_refused_for_cannot(code: int) -> None:
    assert not can_pass(code)
