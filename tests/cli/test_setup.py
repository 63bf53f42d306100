"""`perceptd setup` as a person and a script run it: at a real terminal, with a real camera and a real broker."""

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from daemon.cli.parser import parse
from daemon.cli.setup import first_choices, given_answers, place_of, run_setup
from daemon.core.errors import Refused
from daemon.setup.answers import Given
from daemon.setup.plan import read_before
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto
from tests.helpers.rtsp import rtsp_camera
from tests.helpers.terminal import AtTerminal, typed_answers
from tests.shared import SHARED, needs_shared

COMMAND = [sys.executable, "-m", "daemon", "setup"]

# of the broker, of the camera and of the page: none of them may be seen anywhere
BROKER_PASSWORD, CAMERA_PASSWORD, PAGE_PASSWORD = "p@ss: #'x\"", "c/a#m%", "page hunter2"


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A setup in this process turns the log off."""
    yield
    logging.disable(logging.NOTSET)


def environment(directory: Path) -> dict[str, str]:
    """Return one in which all that belongs to a user lies in this directory."""
    return os.environ | {"HOME": str(directory), "XDG_STATE_HOME": str(directory / "state"), "TMPDIR": str(directory)}


def options(*arguments: str) -> argparse.Namespace:
    return parse(["setup", *arguments])


def test_ctrl_c_at_a_terminal_leaves_nothing_behind(tmp_path: Path) -> None:
    config = tmp_path / "new" / "config.yaml"
    given = [
        "--camera",
        str(tmp_path / "film.mp4"),
        "--microphone",
        "camera",
        "--broker",
        "127.0.0.1:1",
        "--bundle",
        "digits",
    ]
    with AtTerminal([*COMMAND, "--config", str(config), *given], environment(tmp_path)) as terminal:
        terminal.answer("on the local network?", "maybe")
        terminal.answer("expected yes or no", "no")
        terminal.answer("Name of this device", "hall")
        terminal.answer("Name of the place", "<")
        terminal.answer("Name of this device [hall]")
        terminal.answer("Name of the place", "door")
        terminal.answer("User name of this node", "hall")
        terminal.answer("Password of hall", BROKER_PASSWORD)
        terminal.expect("Write it? (yes or no)")
        assert terminal.interrupt_until_the_end() == 130
    assert "password_file: mqtt-password" in terminal.shown and BROKER_PASSWORD not in terminal.shown
    assert "ended: nothing was written" in terminal.shown
    assert not config.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "setup asks its questions in a terminal, and there is none"),
        (["--json"], "--json needs --yes"),
        (["--yes"], "--camera DEVICE, --camera-file FILE or --microphone NAME"),
        (["--yes", "--camera", "0", "--password-file", "{file}"], "--username NAME: whose password"),
        (["--yes", "--camera", "rtsp://a:b@c/d"], "--camera: every user of this machine can see"),
        (["--yes", "--camera-file", "{missing}"], "--camera-file = {missing}: cannot be read"),
        (["--yes", "--camera", "0", "--page-password-file", "{file}"], "a password has 8 to 1000 characters"),
        (["--yes", "--camera", "0", "--bundle", "nothing"], "nothing: no bundle of this name"),
        (["--yes", "--camera", "0", "--microphone", "camera"], "microphone.device: camera needs a camera that is"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    file, missing, config = tmp_path / "file", tmp_path / "missing", tmp_path / "config.yaml"
    file.write_text("secret\n")
    given = [each.format(file=file, missing=missing) for each in arguments]
    with pytest.raises(Refused) as refusal:
        run_setup(options("--config", str(config), *given))
    assert message.format(missing=missing) in str(refusal.value)
    assert not config.exists()


def test_each_option_reaches_its_answer(tmp_path: Path) -> None:
    camera, password = tmp_path / "camera", tmp_path / "password"
    camera.write_text("rtsp://a:b@c/d\n")
    password.write_text("secret\n")
    text = "--node n --stream s --microphone m --broker h:1 --tls ca.pem --username u --bundle b"
    given = given_answers(options(*text.split(), "--camera-file", str(camera), "--password-file", str(password)))
    assert given == Given("n", "s", "rtsp://a:b@c/d", "--camera-file", "m", "h:1", "ca.pem", "u", "secret", "b")
    assert given_answers(options("--camera", "0", "--tls")) == Given(camera="0", tls="")


def test_without_an_answer_the_config_decides_and_nothing_is_downloaded(tmp_path: Path) -> None:
    assert first_choices(None, Given(camera="0"), asks=False).bundle == "digits"
    assert first_choices(None, Given(), asks=True).bundle == "home"
    (tmp_path / "config.yaml").write_text(
        "node: porch\nbundle: /mine\nstreams: {door: {camera: 0}, yard: {camera: 1}}\n"
    )
    before = read_before(tmp_path / "config.yaml")
    chosen = first_choices(before, Given(microphone="default", stream="yard"), asks=False)
    assert (chosen.node, chosen.bundle, chosen.stream, chosen.camera) == ("porch", "/mine", "yard", 1)
    # the shipped config is a demo: nothing of it is kept
    demo = read_before(ROOT / "config.yaml")
    assert demo is not None and demo.config is None
    assert first_choices(demo, Given(camera="0"), asks=False).stream == "room"


def test_the_config_of_the_service_is_for_its_group(tmp_path: Path) -> None:
    assert place_of(None).config == Path("/etc/perceptd/config.yaml")
    assert place_of(tmp_path / "config.yaml").mode == 0o600


@pytest.mark.campaign("setup", part=0)
def test_a_person_sets_up_a_camera_and_a_broker_with_logins_and_it_recognises(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    with Mosquitto(("hall", BROKER_PASSWORD)) as broker, rtsp_camera("aac", "me", CAMERA_PASSWORD) as camera:
        with AtTerminal([*COMMAND, "--config", str(config)], environment(tmp_path)) as terminal:
            for prompt, line in (
                *typed_answers(camera.url(), CAMERA_PASSWORD, broker.port),
                # a wrong password is found by the test, and changed
                ("Password of hall", "wrong"),
                ("Number", "2"),
                ("Write it?", ""),
                ("Number", "1"),
                ("on the local network?", ""),
                ("Name of this device", ""),
                ("Name of the place", ""),
                *[("Number", "")] * 3,
                ("encrypted (TLS)?", ""),
                ("User name of this node", ""),
                ("Password of hall", BROKER_PASSWORD),
                ("Number", ""),
                ("Write it?", ""),
                # the camera plays a tone
                ("Listen again?", "no"),
                ("Password for the page", "short"),
                ("The same again", "short"),
                ("Password for the page", PAGE_PASSWORD),
                ("The same again", PAGE_PASSWORD),
            ):
                terminal.answer(prompt, line)
            assert terminal.wait() == 0, terminal.shown
        print(terminal.shown)
        for secret in (BROKER_PASSWORD, CAMERA_PASSWORD, "c%2Fa%23m%25", PAGE_PASSWORD):
            assert secret not in terminal.shown
        assert terminal.shown.count("/perceptd-picture-") == 2 and [*tmp_path.glob("perceptd-picture-*")] == []
        assert "refused the login" in terminal.shown and "picture  320x240" in terminal.shown
        with DaemonProcess(yaml.safe_load(config.read_text()), tmp_path):
            topic = "perceptd/hall/door/recognition"
            login = ["-p", str(broker.port), "-u", "hall", "-P", BROKER_PASSWORD]
            heard = subprocess.run(["mosquitto_sub", *login, "-t", topic, "-C", "1"], capture_output=True, timeout=60)
            assert json.loads(heard.stdout)["node"] == "hall"


@needs_shared
@pytest.mark.campaign("setup", part=0)
def test_a_script_sets_up_the_same_by_options_and_again(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    files = {"camera": "", "broker": BROKER_PASSWORD, "page": PAGE_PASSWORD}
    with Mosquitto(("hall", BROKER_PASSWORD)) as broker, rtsp_camera("aac", "me", "secret") as camera:
        files["camera"] = camera.url("me:secret@")
        for name, content in files.items():
            (tmp_path / name).write_text(f"{content}\n")
        arguments = ["--yes", "--json", "--config", str(config), "--node", "hall", "--stream", "door"]
        arguments += ["--camera-file", str(tmp_path / "camera"), "--microphone", "camera"]
        arguments += [
            "--bundle",
            "home",
            "--from",
            str(SHARED / "models"),
            "--broker",
            f"127.0.0.1:{broker.port}",
            "--username",
            "hall",
        ]
        arguments += ["--password-file", str(tmp_path / "broker"), "--page-password-file", str(tmp_path / "page")]
        first = run(tmp_path, *arguments)
        assert (first["works"], first["service"], first["backups"]) == (True, "absent", [])
        assert (first["picture"]["width"], first["node"], first["stream"]) == (320, "hall", "door")
        assert first["sound_dbfs"] > -30
        assert first["bundle"] == str(tmp_path / ".local/share/perceptd/bundles/home")
        text = config.read_text()
        # all is there already; and then one thing changes
        assert run(tmp_path, "--yes", "--json", "--config", str(config))["backups"] == []
        assert config.read_text() == text
        (backup,) = run(tmp_path, "--yes", "--json", "--config", str(config), "--node", "porch")["backups"]
        assert Path(backup).read_text() == text and config.read_text() == text.replace("node: hall ", "node: porch")


def run(directory: Path, *arguments: str) -> dict:
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment(directory), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for secret in (BROKER_PASSWORD, CAMERA_PASSWORD, PAGE_PASSWORD):
        assert secret not in done.stdout + done.stderr
    return json.loads(done.stdout)
