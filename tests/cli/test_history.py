"""`perceptd history` on the state directory of a node of this machine: list, show, export, delete."""

import json
import os
import pty
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from daemon.cli.history_state import erasing
from daemon.cli.main import main
from daemon.cli.node_state import NodeState
from daemon.config.node import load_config
from daemon.core.errors import EXIT_REFUSED
from daemon.history.rows import day_of
from daemon.history.store import HistoryStore
from tests.helpers.format2_bundle import write_bundle
from tests.history.kept import BEGAN_S, LARGE, agreement, ids, keep_whole, kept_event, write_parts

Run = Callable[..., tuple[int, str, str]]

DAY_S = 86_400.0


class Machine:
    """A machine with the config and the state of a node."""

    def __init__(self, directory: Path) -> None:
        self.state, self.config = directory / "state", directory / "config.yaml"
        self.history = self.state / "history"
        self.state.mkdir()
        self.bundle = write_bundle(directory / "bundle")
        self.write_config(history={})

    def write_config(self, **changes: object) -> None:
        settings: dict[str, object] = {"node": "node", "bundle": str(self.bundle), "state_directory": str(self.state)}
        settings["streams"] = {"kitchen": {"microphone": {"device": "default"}}}
        self.config.write_text(yaml.safe_dump(settings | changes))

    def keep(self, count: int) -> HistoryStore:
        """Keep events, one a day, of which e1 stays; return the store, which is open as a running node has it."""
        store = HistoryStore(self.history, LARGE)
        for number in range(count):
            keep_whole(store, kept_event(f"e{number}", BEGAN_S + number * DAY_S))
        if count > 1:
            store.keep("e1", True)
        store.commit()
        return store


def let_others_in(directory: Path) -> None:
    """Let other users enter the directories above this one."""
    for parent in directory.parents:
        if not parent.stat().st_mode & stat.S_IXOTH and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o711)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `perceptd history` with the config of the machine; returns exit code, stdout and stderr."""

    def run_history(*arguments: object) -> tuple[int, str, str]:
        code = main(["history", *map(str, arguments), "--config", str(machine.config)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_history


def test_list_shows_the_latest_events(machine: Machine, run: Run) -> None:
    store = machine.keep(3)
    store.judge("e0", "was", "bell")
    write_parts(store.begin(kept_event("open", BEGAN_S + 3 * DAY_S, label="new\x1b[2Jline")))
    store.commit()
    code, output, _ = run("list")
    lines = output.splitlines()
    assert code == 0
    assert lines[0].endswith("kitchen  new\N{REPLACEMENT CHARACTER}[2Jline  75%, open  open")
    assert lines[2].endswith("kitchen  kettle boils  75%, 2 s, picture, clip of 12 s, stays  e1")
    assert lines[3].endswith("75%, 2 s, picture, clip of 12 s, was bell  e0")
    code, output, _ = run("list", "--limit", "2")
    assert output.splitlines()[2:] == ["these are the latest 2; --limit shows more"]
    code, output, _ = run("list", "--json", "--day", day_of(BEGAN_S), "--stream", "kitchen")
    found = json.loads(output)
    assert [event["id"] for event in found["events"]] == ["e0"]
    assert (found["more"], found["events"][0]["verdict"], found["events"][0]["was"]) == (False, "was", "bell")
    assert run("list", "--label", "bell")[1] == "no such event; 4 others are kept\n"
    store.close()


def test_show_tells_all_of_one_event(machine: Machine, run: Run) -> None:
    machine.keep(12).close()
    code, output, _ = run("show", "e3")
    assert code == 0
    assert f"clip: {machine.history / 'clips' / '4.mp4'}, 4 bytes, h264 and aac" in output
    assert "by image 25%, audio 75%" in output
    assert json.loads(run("show", "e3", "--json")[1])["id"] == "e3"
    code, _, errors = run("show", "e")
    assert (code, "there are several; give more of it" in errors) == (EXIT_REFUSED, True)
    code, _, errors = run("show", "x%_\x1b")
    assert (code, "there is none; perceptd history list shows them" in errors) == (EXIT_REFUSED, True)
    assert "\x1b" not in errors


def test_export_writes_files_that_are_whole(machine: Machine, run: Run, tmp_path: Path) -> None:
    machine.keep(3).close()
    out = tmp_path / "out"
    code, output, _ = run("export", "e0", "e2", "--out", out)
    assert (code, output) == (0, f"2 events: {out}. They hold pictures and sound\n")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        f"{name}/{file}" for name in ("e0", "e2") for file in ("clip.mp4", "event.json", "snapshot.jpg")
    ]
    assert (out / "e0" / "clip.mp4").read_bytes() == b"film"
    assert json.loads((out / "e0" / "event.json").read_text())["label"] == "kettle boils"
    code, _, errors = run("export", "e0", "--out", out)
    assert (code, "is there already" in errors) == (EXIT_REFUSED, True)
    code, output, _ = run("export", "--day", day_of(BEGAN_S + DAY_S), "--out", tmp_path / "day", "--json")
    assert (code, json.loads(output)["events"]) == (0, ["e1"])
    assert run("export", "--out", out)[0] == EXIT_REFUSED
    assert run("export", "e0", "--day", "today", "--out", out)[0] == EXIT_REFUSED


def test_export_names_a_file_that_was_swapped(machine: Machine, run: Run, tmp_path: Path) -> None:
    machine.keep(1).close()
    clip = machine.history / "clips" / "1.mp4"
    clip.unlink()
    clip.symlink_to("/etc/passwd")
    code, output, _ = run("export", "e0", "--out", tmp_path / "out")
    assert code == 1
    assert "is not the clip of event e0: it is a symbolic link" in output
    assert sorted(path.name for path in (tmp_path / "out" / "e0").iterdir()) == ["event.json", "snapshot.jpg"]


def test_delete_works_beside_a_running_node(machine: Machine, run: Run) -> None:
    store = machine.keep(4)
    assert run("delete", "e0", "--yes")[1] == "deleted 1 event\n"
    assert ids(machine.history) == ["e3", "e2", "e1"]
    _, output, _ = run("delete", "--before", day_of(BEGAN_S + 3 * DAY_S), "--yes", "--json")
    assert json.loads(output) == {"deleted": 1}
    assert ids(machine.history) == ["e3", "e1"], "e1 is marked to stay"
    keep_whole(store, kept_event("new"))
    store.commit()
    assert run("delete", "--all", "--yes")[1] == "deleted 3 events\n"
    assert (ids(machine.history), agreement(machine.history)) == ([], [])
    assert run("list")[1] == "no event\n"
    for arguments in ([], ["e0", "--all"], ["--all", "--before", "2026-01-01"]):
        assert run("delete", "--yes", *arguments)[0] == EXIT_REFUSED
    store.close()


def test_delete_asks_before(machine: Machine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.keep(3).close()
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        code, _, errors = run("delete", "--all")
    assert (code, "--yes deletes without a question" in errors) == (EXIT_REFUSED, True)
    for answer, left in ((b"n\n", 3), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        with os.fdopen(theirs) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            code, output, _ = run("delete", "--all")
        os.close(ours)
        assert "delete all 3 events, 1 of them marked to stay, with pictures and clips?" in output
        assert (code, len(ids(machine.history))) == (1 if left else 0, left)


def test_without_a_history_the_command_says_why(machine: Machine, run: Run) -> None:
    machine.write_config()
    for arguments in (["list"], ["show", "e0"], ["delete", "--all", "--yes"]):
        code, _, errors = run(*arguments)
        assert (code, "The config has `history: null`" in errors) == (EXIT_REFUSED, True), errors
    machine.state.rename(machine.state.with_name("elsewhere"))
    assert "start the node once" in run("list")[2]
    for day in ("2026-02-30", "20260101", "monday"):
        with pytest.raises(SystemExit):
            run("list", "--day", day)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_root_makes_belongs_to_the_user_of_the_node(machine: Machine, run: Run, tmp_path: Path) -> None:
    let_others_in(machine.state)
    machine.keep(3).close()
    for path in (machine.state, machine.history, *machine.history.rglob("*")):
        os.chown(path, 1234, 1234)
    for arguments in (["list"], ["export", "e0", "--out", tmp_path / "out"], ["delete", "e0", "--yes"], ["list"]):
        assert run(*arguments)[0] == 0
        for path in (machine.history, *machine.history.rglob("*")):
            assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234), path
            assert path.stat().st_mode & 0o77 == 0, path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_deletes_as_the_user_of_the_node(machine: Machine) -> None:
    """What the service has put in the place of a directory after it was looked at does not make root delete there."""
    let_others_in(machine.state)
    machine.keep(1).close()
    os.chown(machine.state, 1234, 1234)
    for path in (machine.history, *machine.history.rglob("*")):
        os.chown(path, 1234, 1234)
    with erasing(NodeState(load_config(machine.config), machine.state)):
        assert (os.geteuid(), os.getegid()) == (1234, 1234)
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_to_use_sudo(machine: Machine, run: Run) -> None:
    let_others_in(machine.state)
    machine.keep(1).close()
    machine.state.chmod(0o700)
    os.seteuid(1234)
    try:
        code, _, errors = run("list")
    finally:
        os.seteuid(0)
    assert (code, "run this command with sudo" in errors) == (EXIT_REFUSED, True), errors
