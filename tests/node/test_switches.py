"""The file that stores which cameras and microphones are closed."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.node.switches import Switch, SwitchFile
from tests.helpers.shortages import few_descriptors

SWITCHES = st.dictionaries(
    st.text(min_size=1, max_size=20), st.builds(Switch, paused=st.booleans(), muted=st.booleans())
)


@given(SWITCHES)
def test_load_returns_the_saved_switches(tmp_path_factory, switches: dict[str, Switch]) -> None:
    path = tmp_path_factory.getbasetemp() / "new-directory" / "switches.json"
    SwitchFile(path).save(switches)
    assert SwitchFile(path).load(list(switches)) == switches
    assert [found.name for found in path.parent.iterdir()] == ["switches.json"]


def test_new_streams_are_open_and_removed_streams_are_ignored(tmp_path: Path) -> None:
    SwitchFile(tmp_path / "s").save({"old": Switch(paused=True), "both": Switch(muted=True)})
    assert SwitchFile(tmp_path / "s").load(["both", "new"]) == {"both": Switch(muted=True), "new": Switch()}
    assert SwitchFile(tmp_path / "absent").load(["a"]) == {"a": Switch()}


def test_without_descriptors_nothing_is_closed(tmp_path: Path) -> None:
    file = SwitchFile(tmp_path / "s")
    file.save({"front": Switch(muted=True)})
    with few_descriptors(os.getpid()), pytest.raises(OSError, match="Too many open files"):
        file.load(["front"])
    assert file.load(["front"]) == {"front": Switch(muted=True)}


@pytest.mark.parametrize("content", [b"", b"{", b'{"front": 7}', b'{"front": {"muted": "perhaps"}}', b"\xff"])
def test_an_unreadable_file_closes_all_devices(tmp_path: Path, content: bytes, caplog) -> None:
    (tmp_path / "s").write_bytes(content)
    assert SwitchFile(tmp_path / "s").load(["front"]) == {"front": Switch(paused=True, muted=True)}
    assert "paused and muted until they are resumed" in caplog.text


def test_a_file_that_is_removed_while_it_is_used_is_written_again_and_no_other(tmp_path: Path, caplog) -> None:
    file, switches = SwitchFile(tmp_path / "state" / "s"), {"front": Switch(muted=True)}
    file.restore(switches)
    assert not file.path.exists()  # nothing was closed ever, so nothing is written
    file.save(switches)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").write_text("in the place of the directory")
    for _ in range(2):
        file.restore(switches)
    (tmp_path / "state").unlink()
    file.restore(switches)
    assert SwitchFile(file.path).load(["front"]) == switches
    assert caplog.text.count("was removed while the daemon runs") == 1
