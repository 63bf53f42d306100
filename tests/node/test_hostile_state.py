"""Whatever lies in the place of a file of the state directory: the daemon starts, says so, and goes on."""

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.outbox.store import OutboxStore
from daemon.node.device_id import DeviceId
from daemon.node.state_files import STATE_FILES
from daemon.node.switches import Switch, SwitchFile
from daemon.updates.state import UpdateState
from daemon.updates.state_file import StateFile, read_state
from daemon.updates.transitions import pin
from tests.helpers.hostile_files import FOREIGN, HOSTILE, Foreign, Kind, fifo, link_to_directory, link_to_zero
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.mqtt.outbox.readers import Reader
from tests.mqtt.records import event
from tests.node import test_daemon, test_updates
from tests.node.test_announcement import announced
from tests.node.test_updates import NEW, OLD, Device
from tests.updates.test_nonsense_numbers import NONSENSE

config, material, device = test_daemon.config, test_daemon.material, test_updates.device


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.mark.parametrize("kind", HOSTILE)
def test_state_json_is_set_aside(state: Path, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    path = state / "state.json"
    foreign.put(kind, path)
    with caplog.at_level(logging.ERROR):
        found = StateFile(path, lambda: 0.0)
    assert found.state == UpdateState() and found.is_lost
    assert str(path) in caplog.text and "the bundle of config.yaml runs" in caplog.text
    assert not os.path.lexists(path) and os.path.lexists(path.with_suffix(".damaged"))
    found.update(pin(found.state, 0.0, on=True))
    assert found.trouble is None and read_state(path).pinned
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_switches_close_everything_until_they_are_set(
    state: Path, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    path = state / "switches.json"
    foreign.put(kind, path)
    for _ in range(2):  # at the next start too: privacy must not depend on how often the daemon starts
        with caplog.at_level(logging.ERROR):
            assert SwitchFile(path).load(["door"]) == {"door": Switch(paused=True, muted=True)}
    assert f"{path} cannot be read" in caplog.text
    SwitchFile(path).save({"door": Switch(blind=True)})
    assert SwitchFile(path).load(["door"]) == {"door": Switch(blind=True)}
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_announced_json_is_written_anew(
    state: Path, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    path = state / "announced.json"
    foreign.put(kind, path)
    first = announced({}, path)
    assert f"{path} cannot be read" in caplog.text
    assert announced({}, path) == first and json.loads(path.read_bytes())
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_device_gets_a_new_id(state: Path, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    path = state / "device_id"
    foreign.put(kind, path)
    first, second = DeviceId(path), DeviceId(path)
    first.load()
    second.load()
    assert first.stored is not None and first.stored == second.stored
    assert caplog.text.count(str(path)) == 1 and "a new id is written" in caplog.text
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_outbox_is_set_aside(state: Path, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    path = state / "outbox.sqlite3"
    foreign.put(kind, path)
    check_outbox(path)
    assert f"the outbox {path} is damaged" in caplog.text and os.path.lexists(path.with_suffix(".damaged"))
    foreign.check_untouched()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_lies_beside_the_outbox_is_removed(
    state: Path, foreign: Foreign, kind: Kind, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = state / "outbox.sqlite3"
    check_outbox(path)
    foreign.put(kind, path.with_name(path.name + suffix))
    check_outbox(path)
    if kind.__name__ != "huge":  # a database may have any size
        assert f"{path}{suffix}" in caplog.text and "it was removed" in caplog.text
    assert "is damaged" not in caplog.text
    foreign.check_untouched()


@pytest.mark.parametrize("number", NONSENSE)
def test_nonsense_for_a_switch_never_opens_what_may_be_closed(state: Path, number: str) -> None:
    path = state / "switches.json"
    path.write_text(f'{{"door":{{"muted":{number}}}}}')
    (switch,) = SwitchFile(path).load(["door"]).values()
    assert switch.muted or number in ("false", "-0.0")
    path.write_text(number)
    assert SwitchFile(path).load(["door"])["door"].muted or number == "{}"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE totals SET last_sequence = 9223372036854775807",
        "UPDATE totals SET last_sequence = -1",
        "UPDATE totals SET last_sequence = 1e300",
        "UPDATE totals SET count = 'many'",
        "UPDATE totals SET size_bytes = -5",
        "DELETE FROM totals",
        "UPDATE entries SET sequence = 9223372036854775807",
        "UPDATE entries SET sequence = -7",
    ],
)
def test_nonsense_numbers_in_the_outbox_count_as_damage(
    state: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = state / "outbox.sqlite3"
    store = OutboxStore(path)
    store.write([Entry(1, "s/event", "a", "start", b"{}")], [], queued=0)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    check_outbox(path)
    assert f"the outbox {path} is damaged" in caplog.text


def check_outbox(path: Path) -> None:
    """Assert that an event can be written, read and removed."""
    reader = Reader(10)
    outbox = Outbox(path, "node", OutboxConfig(), Counters(), reader)
    outbox.start()
    outbox.add("s/event", event(1))
    wait_until(lambda: reader.got, "the event")
    assert outbox.status()["trouble"] is None
    for sequence in reader.sequences:
        outbox.acknowledged(sequence)
    assert outbox.close(10.0)


# what has a version, beside files of bundles and of TUF, which have their own
KNOWN = {file.path for file in STATE_FILES}
OTHERS = ("models/slots/", "models/partial/", "models/trash/", "models/tuf/", "models/taught/slots/", "history/clips/")


def files_of(state: Path) -> list[str]:
    """The files that the daemon has written, but for those of bundles, and what SQLite keeps beside a database."""
    paths = (str(path.relative_to(state)) for path in state.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in paths if not path.startswith(OTHERS) and not path.endswith(("-journal", "-wal", "-shm"))]


def test_a_daemon_whose_state_is_hostile_starts_recognises_and_installs(device: Device, foreign: Foreign) -> None:
    device.publish()
    state = device.directory / "state"
    models = state / "models"
    for kind, path in (
        (fifo, models / "state.json"),
        (fifo, state / "announced.json"),
        (fifo, state / "device_id"),
        (link_to_zero, state / "outbox.sqlite3"),
        (link_to_zero, models / "tuf" / "timestamp.json"),
        (fifo, models / "tuf" / "snapshot.json"),
        (link_to_directory, models / "tuf" / "root_history"),
        (link_to_directory, models / "partial"),
        (link_to_directory, models / "slots"),
        (link_to_directory, models / "trash"),
    ):
        foreign.put(kind, path)
    with device.run() as daemon:
        device.wait_for_recognitions(OLD)
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        for name in (
            "state.json",
            "announced.json",
            "device_id",
            "outbox.sqlite3",
            "timestamp.json",
            "partial",
            "slots",
        ):
            assert str(name) in daemon.log
        assert daemon.stop() == 0
    assert [path for path in files_of(state) if path not in KNOWN] == [], "each file has a version, or is known"
    foreign.check_untouched()
