"""`perceptd teach LABEL --files --bundle`: a bundle is taught without a node."""

import json
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.cli.main import main
from daemon.core.errors import EXIT_REFUSED
from tests.cli.test_teach_files import Machine, noise
from tests.helpers.taught import on_streams
from tests.helpers.taught import teach as write_taught


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def teach(
    machine: Machine,
    *more: object,
    bundle: Path | None = None,
    presses: int = 4,
    room_s: float = 40,
    label: str = "kettle boils",
    out: Path | None = None,
) -> int:
    """Teach the bundle a label that is loud, in a quiet room; return the exit code."""
    files = [machine.sound(f"kettle-{number}.wav", noise(2, 0.3 + 0.1 * number)) for number in range(presses)]
    room = machine.sound("room.wav", noise(room_s, 0.01))
    source, out = bundle or machine.bundle, out or machine.directory / "out"
    arguments = ["--files", *files, "--background", room, "--bundle", source, "--out", out, *more]
    return main(["teach", label, *map(str, arguments)])


def test_a_bundle_is_taught_from_files(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert teach(machine) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith("kettle boils: 4 presses, heard in ")
    assert lines[-1] == f"corner@1.0.0+taught.1: {machine.directory / 'out'}"
    manifest = load_bundle(machine.directory / "out").manifest
    assert manifest.id == "corner@1.0.0+taught.1"
    assert manifest.taught is not None
    assert manifest.taught.labels["kettle boils"].everywhere is not None
    assert list(machine.state.iterdir()) == [], "no node is touched"


def test_a_bundle_is_taught_one_label_after_another(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = machine.directory / "out", machine.directory / "second"
    assert teach(machine) == 0
    assert teach(machine, bundle=first, label="tap runs", out=second) == 0
    before, manifest = load_bundle(first).manifest, load_bundle(second).manifest
    assert (manifest.id, manifest.labels) == ("corner@1.0.0+taught.2", [*before.labels, "tap runs"])
    assert manifest.inherited == ["kettle boils", "tap runs"], "a node that runs it keeps both"
    assert before.taught is not None
    assert manifest.taught is not None
    assert manifest.taught.labels["kettle boils"] == before.taught.labels["kettle boils"]
    capsys.readouterr()
    assert teach(machine, bundle=first, out=machine.directory / "third") == EXIT_REFUSED
    assert "kettle boils is a label of corner already; teach it under another name" in capsys.readouterr().err


def test_the_report_is_printed_as_json(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert teach(machine, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bundle"] == "corner@1.0.0+taught.1"
    assert found["report"]["labels"][0]["label"] == "kettle boils"


def test_without_enough_background_nothing_is_written(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert teach(machine, room_s=5) == EXIT_REFUSED
    assert "kettle boils cannot be taught: there are 5 of 30 moments of background. Give " in capsys.readouterr().err
    assert not (machine.directory / "out").exists()


def test_what_would_be_lost_is_not_overwritten(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    taught = machine.directory / "taught"
    write_taught(machine.bundle, taught, {"tap runs": on_streams("kitchen")})
    assert teach(machine, bundle=taught) == EXIT_REFUSED
    assert "corner@1.0.0+taught.1 was taught to a node, and would lose tap runs; teach what" in capsys.readouterr().err
    (machine.directory / "out").mkdir()
    assert teach(machine) == EXIT_REFUSED
    assert "is there already; name a new directory" in capsys.readouterr().err
    file = str(machine.sound("a.wav", noise(2, 0.2)))
    assert main(["teach", "kettle boils", "--files", file, "--out", "x"]) == EXIT_REFUSED
    assert "--out needs --bundle" in capsys.readouterr().err
