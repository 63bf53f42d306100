"""Versions that were taught on the device go through the steps of an update, without a source too."""

from pathlib import Path

import pytest

from tests.updates.device import BUILT_IN, Device


@pytest.fixture(params=["source", None], ids=["with a source", "without a source"])
def device(tmp_path: Path, request: pytest.FixtureRequest) -> Device:
    return Device(tmp_path, source=request.param)


def test_a_taught_version_is_installed_and_confirmed(device: Device) -> None:
    with device:
        taught = device.teach("1")
        status = device.until_runs(taught)
        assert device.runner.ran == ["check", "selftest"]
        assert device.host.history == [BUILT_IN, taught]
        assert status.state.active is None
        assert status.latest == "0.4.0+taught.1"
        result = status.taught.last_result
        assert result is not None and (result.id, result.ok, result.stage) == (taught, True, "probation")
    with device:
        assert device.host.history == [taught]
