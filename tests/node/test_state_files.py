"""Every file of a state directory says its version, and one that a later version has written is set aside."""

import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.core.database import LaterVersion, database_version
from daemon.core.versions import StateFile, json_version, set_aside_in, set_later_aside, text_version
from daemon.history.eraser import HistoryEraser
from daemon.history.store import HistoryStore
from daemon.mqtt.home_assistant.ledger import Ledger
from daemon.mqtt.outbox.store import OutboxStore
from daemon.node.device_id import DeviceId
from daemon.node.fit_record import FitRecord, FitRecordFile
from daemon.node.history_topics import SnapshotFile
from daemon.node.state_files import STATE_FILES, set_later_state_aside, state_problem
from daemon.node.switches import Switch, SwitchFile
from daemon.teaching.store import TeachingStore
from daemon.updates.state import UpdateState
from daemon.updates.state_file import StateFile as UpdateStateFile
from daemon.updates.state_file import TaughtFile
from daemon.updates.taught_state import TaughtState
from daemon.web.accounts_file import FILES as ACCOUNT_FILES
from daemon.web.accounts_file import AccountsFile
from daemon.web.settings import FILES as SETTING_FILES

ALL = (*STATE_FILES, *ACCOUNT_FILES, *SETTING_FILES)


def write_all(state: Path) -> None:
    """Write each file of a state directory as this version does."""
    OutboxStore(state / "outbox.sqlite3").close()
    HistoryStore(state / "history").close()
    TeachingStore(state / "teaching" / "teaching.db").close()
    DeviceId(state / "device_id").load()
    SwitchFile(state / "switches.json").save({"door": Switch(muted=True)})
    FitRecordFile(state / "teaching" / "fit.json").save(FitRecord(number=7))
    (state / "snapshots.json").write_text(SnapshotFile(streams=["door"]).model_dump_json())
    (state / "announced.json").write_bytes(Ledger(node="hall").to_json())
    UpdateStateFile(state / "models" / "state.json", lambda: 0.0).save(UpdateState())
    TaughtFile(state / "models" / "taught" / "state.json", lambda: 0.0).save(TaughtState())
    with AccountsFile(state).change() as content:
        content["known"]["n"] = {}
    (state / "settings.json").write_text('{"version": 1}')


def make_later(file: StateFile, path: Path) -> None:
    """Turn a file into one of the next version."""
    if file.read is database_version:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA user_version = {file.newest + 1}")
            database.execute("CREATE TABLE of_next_year (text TEXT)")
    elif file.read is text_version:
        path.write_text(f"version {file.newest + 1}\n0f\n")
    else:
        document = json.loads(path.read_text())
        key = "format" if "format" in document else "version"
        path.write_text(json.dumps({**document, key: file.newest + 1}))


def test_what_this_version_has_written_says_its_version_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_all(tmp_path)
    before = contents(tmp_path)
    # version 1 of these two says so by its form: perceptd 0.7 reads them
    by_form = {"device_id", "switches.json"}
    assert {file.path: file.read(tmp_path / file.path) for file in ALL if file.path not in by_form} == {
        file.path: file.newest for file in ALL if file.path not in by_form
    }
    assert json.loads((tmp_path / "switches.json").read_text())[""] == {"version": 1}
    set_later_aside(tmp_path, ALL)
    assert contents(tmp_path) == before
    assert (caplog.text, state_problem(tmp_path), set_aside_in(tmp_path, ALL)) == ("", None, [])


def test_each_file_of_a_later_version_is_set_aside_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_all(tmp_path)
    for file in ALL:
        make_later(file, tmp_path / file.path)
    before = contents(tmp_path)
    with caplog.at_level(logging.ERROR):
        set_later_state_aside(tmp_path)
        AccountsFile(tmp_path).content()
        set_later_aside(tmp_path, SETTING_FILES)
    told = caplog.text
    for file in ALL:
        version = file.newest + 1
        text = f"has written {tmp_path / file.path} (version {version}, this one reads {file.newest})"
        text = text.replace("/history/history.db", "/history")
        assert told.count(text) == 1 and told.count(f"; it is now {tmp_path / file.renamed}.version-{version}\n") == 1
        aside = (tmp_path / file.path.replace(file.renamed, f"{file.renamed}.version-{version}", 1)).read_bytes()
        assert aside == before[file.path], "not a byte of it is changed"
    names = [f"{file.renamed}.version-{file.newest + 1}" for file in STATE_FILES]
    assert state_problem(tmp_path) == (
        f"set aside, because a later version of perceptd has written them: {', '.join(names)}"
    )
    write_all(tmp_path)  # all that opens them begins anew
    set_later_state_aside(tmp_path)
    assert caplog.text == told and len(set_aside_in(tmp_path, ALL)) == len(ALL)


def test_a_second_one_does_not_replace_the_first(tmp_path: Path) -> None:
    path = tmp_path / "switches.json"
    for text in ("one", "two", "three"):
        path.write_text(json.dumps({"version": 2, "text": text}))
        set_later_state_aside(tmp_path)
    found = {name: json.loads((tmp_path / name).read_text())["text"] for name in set_aside_in(tmp_path, STATE_FILES)}
    assert found == {
        "switches.json.version-2": "one",
        "switches.json.version-2.2": "two",
        "switches.json.version-2.3": "three",
    }


def test_nothing_is_renamed_while_another_daemon_uses_the_directory(tmp_path: Path) -> None:
    running = OutboxStore(tmp_path / "outbox.sqlite3")
    (tmp_path / "switches.json").write_text('{"version": 2}')
    set_later_state_aside(tmp_path)
    assert state_problem(tmp_path) is None
    running.close()
    set_later_state_aside(tmp_path)
    assert state_problem(tmp_path) is not None


def test_what_a_killed_process_left_in_the_journal_is_set_aside_with_the_database(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    store = OutboxStore(path)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 2")
        database.execute("CREATE TABLE of_next_year (text TEXT)")
        killed = {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-wal")}
    for suffix, content in killed.items():
        path.with_name(path.name + suffix).write_bytes(content)
    set_later_state_aside(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["outbox.sqlite3.version-2"]
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite3.version-2")) as database:
        assert database.execute("SELECT COUNT(*) FROM of_next_year").fetchone() == (0,)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"version": "2"}', '{"version": true}', '{"version": 2.5}'])
def test_what_names_no_version_is_left_to_its_reader(tmp_path: Path, content: str) -> None:
    for file in ALL:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    set_later_aside(tmp_path, ALL)
    assert set_aside_in(tmp_path, ALL) == []


@pytest.mark.parametrize(
    "opens",
    [OutboxStore, lambda path: HistoryStore(path.parent), TeachingStore],
    ids=["outbox", "history", "teaching"],
)
def test_a_database_of_a_later_version_is_never_taken_for_damaged(
    tmp_path: Path, opens: Callable[[Path], object]
) -> None:
    path = tmp_path / "own" / "history.db"
    path.parent.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 9")
    path.chmod(0o600)
    with pytest.raises(Exception, match="a later version of perceptd has written it") as raised:
        opens(path)
    assert isinstance(raised.value, LaterVersion) or isinstance(raised.value.__cause__, LaterVersion)
    assert database_version(path) == 9


def test_deleting_the_whole_history_deletes_what_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / "history.version-2" / "clips").mkdir(parents=True)
    HistoryStore(tmp_path / "history").close()
    with HistoryEraser(tmp_path / "history") as eraser:
        assert list(eraser.delete_all()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["history"]


def test_no_microphone_is_opened_because_a_later_version_has_muted_it(tmp_path: Path) -> None:
    file = SwitchFile(tmp_path / "switches.json")
    file.path.write_text('{"version": 2}')
    set_later_state_aside(tmp_path)
    for _ in range(2):  # at the next start too
        assert file.load(["door"]) == {"door": Switch(paused=True, muted=True)}
    file.save({"door": Switch()})
    assert file.load(["door"]) == {"door": Switch()}


def test_files_of_perceptd_0_7_are_read(tmp_path: Path) -> None:
    write_all(tmp_path)
    (tmp_path / "switches.json").write_text('{"door":{"paused":false,"blind":true,"muted":false}}')
    (tmp_path / "snapshots.json").write_text('["door"]')
    (tmp_path / "teaching" / "fit.json").write_text('{"number":3,"basis":null,"bundle":null,"report":null}')
    accounts = json.loads((tmp_path / "accounts.json").read_text())
    del accounts["version"]
    (tmp_path / "accounts.json").write_text(json.dumps(accounts))
    fit = FitRecordFile(tmp_path / "teaching" / "fit.json")
    fit.load()
    assert fit.record.number == 3
    assert SwitchFile(tmp_path / "switches.json").load(["door"]) == {"door": Switch(blind=True)}
    assert SnapshotFile.model_validate_json((tmp_path / "snapshots.json").read_text()).streams == ["door"]
    assert AccountsFile(tmp_path).content()["known"] == {"n": {}}
    with AccountsFile(tmp_path).change() as content:
        content["known"] = {}
    assert json_version(tmp_path / "accounts.json") == 1


def contents(state: Path) -> dict[str, bytes]:
    """Every file below a directory that is no journal, with its content."""
    files = (path for path in state.rglob("*") if path.is_file() and not path.name.endswith(("-journal", ".lock")))
    return {str(path.relative_to(state)): path.read_bytes() for path in files}
