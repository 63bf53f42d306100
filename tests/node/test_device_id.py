"""The id of a device is the same in every run, and a state directory that cannot be written is told."""

import errno
import re
from pathlib import Path

import pytest

from daemon.node.device_id import DeviceId


def loaded(path: Path) -> DeviceId:
    device = DeviceId(path)
    device.load()
    return device


def test_the_id_is_random_and_outlasts_a_run(tmp_path: Path) -> None:
    first, again = loaded(tmp_path / "state" / "device_id"), loaded(tmp_path / "state" / "device_id")
    assert re.fullmatch("[0-9a-f]{32}", first.value)
    assert first.stored == again.stored == first.value
    assert loaded(tmp_path / "other" / "device_id").value != first.value


def test_nothing_is_written_before_it_is_loaded(tmp_path: Path) -> None:
    device = DeviceId(tmp_path / "state" / "device_id")
    assert re.fullmatch("[0-9a-f]{32}", device.value)
    assert device.stored is None
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "content", [b"", b"0" * 31, b"0" * 33, b"F" * 32, b"\xff" * 32, b"0" * 32 + b"\nmore", b"x" * 99]
)
def test_what_is_no_id_is_replaced_and_told(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "device_id"
    path.write_bytes(content)
    device = loaded(path)
    assert loaded(path).stored == device.stored == device.value
    assert caplog.text.count(str(path)) == 1


def test_without_a_writable_directory_the_id_of_this_run_serves_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("no directory")
    device = loaded(tmp_path / "state" / "device_id")
    assert re.fullmatch("[0-9a-f]{32}", device.value)
    assert device.stored is None
    assert f"{tmp_path}/state" in caplog.text
    assert "this run uses an id of its own" in caplog.text


def test_a_momentary_lack_of_descriptors_is_no_reason_for_another_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "device_id"
    stored = loaded(path).stored

    def lacking(_path: Path, _most_bytes: int) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as context:
        context.setattr("daemon.node.device_id.read_own", lacking)
        with pytest.raises(OSError, match="Too many open files"):
            DeviceId(path).load()
    assert loaded(path).stored == stored
