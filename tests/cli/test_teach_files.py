"""`perceptd teach` on the files of this machine: examples from recordings, and how they are played."""

import json
import os
import stat
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.cli.main import main
from daemon.cli.teach_files import spread
from daemon.cli.teach_media import audible, kind_of, loudest
from daemon.core.errors import EXIT_REFUSED
from daemon.core.records import Array
from daemon.teaching.records import StoredMoment
from daemon.teaching.store import TeachingStore
from tests.helpers.format2_bundle import RATE_HZ, write_bundle
from tests.helpers.taught import on_streams, teach
from tests.teaching.records import example

Run = Callable[..., tuple[int, str, str]]


class Machine:
    """A machine with the config, the bundle and the state of a node; and files that show something."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bundle = write_bundle(directory / "bundle")
        self.state = directory / "state"
        self.state.mkdir()
        self.config = directory / "config.yaml"
        self.write_config(streams={"kitchen": {"microphone": {"device": "default"}}})

    def write_config(self, **changes: object) -> None:
        settings = {"node": "node", "bundle": str(self.bundle), "state_directory": str(self.state)}
        self.config.write_text(yaml.safe_dump(settings | changes))

    @property
    def database(self) -> Path:
        return self.state / "teaching" / "teaching.db"

    def store(self) -> TeachingStore:
        return TeachingStore(self.database)

    def sound(self, name: str, samples: Array) -> Path:
        path = self.directory / name
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        return path

    def text(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content)
        return path

    def picture(self, name: str, brightness: int) -> Path:
        path = self.directory / name
        across = np.linspace(0, brightness, 64, dtype=np.uint8)
        cv2.imwrite(str(path), np.repeat(across[np.newaxis], 48, axis=0))
        return path


def noise(seconds: float, level: float, seed: int = 0) -> Array:
    chance = np.random.default_rng(seed)
    return np.asarray(chance.uniform(-level, level, round(seconds * RATE_HZ)), np.float32)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `perceptd teach` with the config of the machine; returns exit code, stdout and stderr."""

    def run_teach(*arguments: object) -> tuple[int, str, str]:
        code = main(["teach", *map(str, arguments), "--config", str(machine.config)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_teach


def test_each_file_is_one_example_and_background_is_spread(machine: Machine, run: Run) -> None:
    files = [machine.sound(f"kettle-{number}.wav", noise(2, 0.1 * number)) for number in (1, 4)]
    seen = machine.picture("kettle.png", 200)
    room = [machine.sound(f"room-{number}.wav", noise(6, 0.01, number)) for number in (1, 2)]
    code, output, _ = run("kettle boils", "--files", *files, seen, "--background", *room, "--everywhere")
    assert code == 0
    assert [line.partition(": ")[2] for line in output.splitlines()][2] == "1 moment of picture"
    store = machine.store()
    infos = store.examples()
    assert [(info.label, info.stream, info.origin) for info in infos] == [("kettle boils", "kitchen", "file")] * 3
    assert [(info.has_picture, info.has_sound) for info in infos] == [(False, True), (False, True), (True, False)]
    counts = store.background_counts(encoder_fingerprints(load_bundle(machine.bundle)))
    assert 10 <= counts["kitchen"] <= 12
    assert store.everywhere() == {"kettle boils"}
    assert store.undo() == "3 examples of kettle boils from files"
    assert store.examples() == []


def test_a_file_of_no_use_is_named_and_the_others_are_taken(machine: Machine, run: Run) -> None:
    files = [
        machine.sound("good.wav", noise(2, 0.2)),
        machine.sound("same.wav", noise(2, 0.2)),
        machine.sound("silent.wav", np.zeros(2 * RATE_HZ, np.float32)),
        machine.directory / "missing.wav",
        machine.text("notes.txt", "it boils"),
    ]
    code, output, _ = run("kettle boils", "--files", *files, "--json")
    assert code == 1
    found = json.loads(output)["files"]
    assert [each["example"] is not None for each in found] == [True, False, False, False, False]
    assert "nearly the same" in found[1]["text"]
    assert "the sound is silent" in found[2]["text"]
    assert found[3]["text"] == "there is no such file"
    assert found[4]["text"] == "a text, and the bundle corner@1.0.0 has no encoder for that"
    assert len(machine.store().examples()) == 1


def test_files_of_no_use_are_no_step_that_could_be_undone(machine: Machine, run: Run) -> None:
    assert run("kettle boils", "--files", machine.sound("good.wav", noise(2, 0.2)))[0] == 0
    assert run("tap runs", "--files", machine.directory / "missing.wav")[0] == 1
    assert machine.store().undo() == "1 example of kettle boils from files"


def test_the_bundle_of_a_node_that_runs_another_one_can_be_named(machine: Machine, run: Run) -> None:
    other = write_bundle(machine.directory / "other", version="7.0.0")
    file = machine.sound("kettle.wav", noise(2, 0.2))
    machine.write_config(bundle="/nowhere", streams={"kitchen": {"microphone": {"device": "default"}}})
    code, _, errors = run("kettle boils", "--files", file, "--bundle", other)
    assert code == 0
    assert "there is no background of kitchen by the encoders of corner@7.0.0 yet" in errors
    room = machine.sound("room.wav", noise(6, 0.01))
    code, _, errors = run("tap runs", "--files", file, "--bundle", other, "--background", room)
    assert (code, "no background" in errors) == (0, False)


def test_media_that_are_not_to_be_kept_are_not(machine: Machine, run: Run) -> None:
    machine.write_config(streams={"kitchen": {"camera": {"device": 0}}}, teaching={"pictures": False, "sounds": False})
    files = [machine.sound("kettle.wav", noise(2, 0.2)), machine.picture("kettle.png", 200)]
    assert run("kettle boils", "--files", *files)[0] == 0
    infos = machine.store().examples()
    assert [(info.has_picture, info.has_sound) for info in infos] == [(False, False)] * 2
    code, _, errors = run("play", infos[0].id[:8])
    assert (code, "only its embeddings were kept" in errors) == (EXIT_REFUSED, True)


@pytest.mark.parametrize(
    ("label", "more", "reason"),
    [
        ("loud", [], "loud is a label of corner already; teach it under another name"),
        ("a/b", [], "expected printable text without / + #"),
        ("kettle boils", ["--stream", "yard"], "no stream 'yard'; there are kitchen"),
    ],
)
def test_what_cannot_be_taught_is_refused(machine: Machine, run: Run, label: str, more: list[str], reason: str) -> None:
    code, _, errors = run("press", label, "--files", machine.sound("a.wav", noise(2, 0.2)), *more)
    assert (code, reason in errors) == (EXIT_REFUSED, True), errors
    assert not machine.database.exists()


def test_of_several_streams_one_must_be_named(machine: Machine, run: Run) -> None:
    machine.write_config(streams={"kitchen": {"camera": {"device": 0}}, "yard": {"camera": {"device": 1}}})
    file = machine.sound("a.wav", noise(2, 0.2))
    code, _, errors = run("kettle boils", "--files", file)
    assert (code, "name the stream by --stream; there are kitchen, yard" in errors) == (EXIT_REFUSED, True)
    assert run("kettle boils", "--files", file, "--stream", "yard")[0] == 0


def test_an_example_is_written_as_files(machine: Machine, run: Run) -> None:
    machine.store().add_example(example("abcd1234", picture=b"jpeg", sound=b"wave"))
    machine.store().add_example(example("abcd5678"))
    out = machine.directory / "out"
    code, output, _ = run("play", "abcd1", "--out", out)
    assert code == 0
    assert output.splitlines() == [
        "kettle boils, example abcd1234, kitchen",
        f"  {out / 'abcd1234.jpg'}",
        f"  {out / 'abcd1234.wav'}",
    ]
    assert (out / "abcd1234.jpg").read_bytes() == b"jpeg"
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    code, _, errors = run("play", "abcd", "--out", out)
    assert (code, "there are several; give more of it" in errors) == (EXIT_REFUSED, True)
    code, _, errors = run("play", "x")
    assert (code, "there is none; perceptd teach list shows them" in errors) == (EXIT_REFUSED, True)


def test_the_sound_of_an_example_is_played(machine: Machine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = machine.directory / "heard"
    programs = machine.directory / "bin"
    programs.mkdir()
    player = programs / "aplay"
    player.write_text(f'#!/bin/sh\n/bin/cat "$1" > {heard}\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    machine.store().add_example(example("abcd1234", picture=b"jpeg", sound=b"wave"))
    code, output, _ = run("play", "abcd1234")
    assert (code, heard.read_bytes()) == (0, b"wave")
    assert "it has a picture: --out DIR writes picture and sound as files" in output
    player.write_text("#!/bin/sh\nexit 1\n")
    code, output, _ = run("play", "abcd1234")
    assert (code, "cannot play it here" in output) == (1, True)
    player.unlink()
    code, output, _ = run("play", "abcd1234")
    assert (code, "to hear it, install one of pw-play, paplay, aplay" in output) == (1, True)


def test_without_a_state_directory_or_anything_taught_it_is_said(machine: Machine, run: Run) -> None:
    code, _, errors = run("play", "abcd")
    assert (code, "nothing was taught to node node" in errors) == (EXIT_REFUSED, True)
    machine.state.rmdir()
    code, _, errors = run("play", "abcd")
    assert (code, "there is no such directory; start the node once" in errors) == (EXIT_REFUSED, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_root_makes_belongs_to_the_user_of_the_node(machine: Machine, run: Run) -> None:
    os.chown(machine.state, 1234, 1234)
    for parent in machine.state.parents:
        if not parent.stat().st_mode & stat.S_IXOTH and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o711)
    assert run("kettle boils", "--files", machine.sound("a.wav", noise(2, 0.2)))[0] == 0
    for path in (machine.database.parent, *machine.database.parent.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234), path
    assert stat.S_IMODE(machine.database.stat().st_mode) == 0o600
    assert run("play", machine.store().examples()[0].id, "--out", machine.directory / "out")[0] == 0


def test_examples_go_to_another_device(machine: Machine, run: Run, tmp_path: Path) -> None:
    files = [machine.sound("kettle.wav", noise(2, 0.2)), machine.picture("kettle.png", 200)]
    assert run("kettle boils", "--files", *files)[0] == 0
    folder = tmp_path / "examples"
    code, output, _ = run("export", "--examples", folder)
    assert (code, output) == (0, f"2 examples: {folder}. They may hold pictures and sound\n")
    code, _, errors = run("export", "--examples", folder)
    assert (code, "is not empty" in errors) == (EXIT_REFUSED, True)
    first = machine.store().examples()
    machine.state = tmp_path / "other"
    machine.state.mkdir()
    machine.write_config(streams={"attic": {"microphone": {"device": "default"}}}, teaching={"pictures": False})
    assert run("import", folder) == (0, "added 2 examples\n", "")
    found = machine.store().examples()
    assert {(info.id, info.stream, info.origin) for info in found} == {(info.id, "attic", "import") for info in first}
    assert not any(info.has_picture for info in found)
    assert json.loads(run("import", folder, "--json")[1]) == {"added": 0, "present": 2}
    code, _, errors = run("import", tmp_path / "bundle")
    assert (code, "nothing was imported: " in errors) == (EXIT_REFUSED, True)
    code, _, errors = run("import", folder, "--stream", "cellar")
    assert (code, "no stream 'cellar'; there are attic" in errors) == (EXIT_REFUSED, True)


def test_a_taught_bundle_is_exported_for_the_publisher(machine: Machine, run: Run) -> None:
    out = machine.directory / "kettles"
    code, _, errors = run("export", "--name", "kettles", "--version", "1.2.0", "--out", out)
    assert (code, "was taught nothing" in errors) == (EXIT_REFUSED, True)
    taught = machine.directory / "taught"
    teach(machine.bundle, taught, {"kettle boils": on_streams("kitchen"), "tap runs": on_streams("kitchen")})
    machine.write_config(bundle=str(taught), streams={"kitchen": {"microphone": {"device": "default"}}})
    code, output, _ = run("export", "--name", "kettles", "--version", "1.2.0", "--out", out)
    manifest = load_bundle(out).manifest
    assert code == 0
    assert output.splitlines() == [
        f"kettles@1.2.0: {out}, with kettle boils, tap runs",
        "on other nodes they apply to streams named kitchen; --everywhere: to all streams",
    ]
    assert (manifest.id, manifest.labels) == ("kettles@1.2.0", load_bundle(taught).manifest.labels)
    assert manifest.labels_in("hall") == manifest.base_labels
    wide = out.with_name("wide")
    code, output, _ = run("export", "--name", "kettles", "--version", "1.3.0", "--out", wide, "--everywhere")
    assert (code, len(output.splitlines())) == (0, 1)
    assert load_bundle(wide).manifest.labels_in("hall") == manifest.labels
    code, _, errors = run("export", "--name", "kettles", "--version", "1.2.0", "--out", out)
    assert (code, "is there already; name a new directory" in errors) == (EXIT_REFUSED, True)
    code, _, errors = run("export", "--name", "kettles", "--out", out)
    assert (code, "--name needs --version and --out" in errors) == (EXIT_REFUSED, True)
    code, _, errors = run("export", "--name", "Kettles 1", "--version", "1", "--out", out.with_name("other"))
    assert (code, out.with_name("other").exists()) == (EXIT_REFUSED, False), errors


def test_the_loudest_part_of_a_long_sound_is_taken(machine: Machine, run: Run) -> None:
    long = noise(20, 0.01)
    long[12 * RATE_HZ : 14 * RATE_HZ] += noise(2, 0.5)
    start, stop = loudest(long, RATE_HZ)
    assert start <= 12 * RATE_HZ
    assert stop >= 14 * RATE_HZ
    assert stop - start == 5 * RATE_HZ
    _, output, _ = run("kettle boils", "--files", machine.sound("long.wav", long))
    assert "the loudest 5 s of 20.0 s, from 10.0 s on" in output
    assert loudest(long[: 5 * RATE_HZ + 10], RATE_HZ) == (0, 5 * RATE_HZ + 10)


def test_silence_around_a_sound_is_left_out_unless_it_is_short() -> None:
    sound = np.zeros(10 * RATE_HZ, np.float32)
    sound[4 * RATE_HZ : 7 * RATE_HZ] = 0.5
    assert audible(sound, RATE_HZ) == (4 * RATE_HZ, 7 * RATE_HZ)
    sound[5 * RATE_HZ :] = 0
    assert audible(sound, RATE_HZ) == (4 * RATE_HZ - RATE_HZ // 2, 5 * RATE_HZ + RATE_HZ // 2)
    assert audible(np.zeros(100, np.float32), RATE_HZ) == (0, 100)


def test_what_a_file_shows_is_told_by_its_name() -> None:
    names = ("a.JPG", "a.png", "a.wav", "a.ogg", "a.txt", "a.mp4", "a")
    assert [kind_of(Path(name)) for name in names] == ["image", "image", "audio", "audio", "text", "audio", "audio"]


def test_background_is_one_moment_a_second() -> None:
    moments = [StoredMoment(time_ms, {}) for time_ms in (100, 600, 1100, 1600, 2200, 5000)]
    assert [moment.time_ms for moment in spread(moments)] == [100, 1100, 2200, 5000]
