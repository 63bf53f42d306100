"""`perceptd setup` on a machine with the service: it writes what the service may read, and starts it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.mosquitto import Mosquitto, free_port, wait_until
from tests.helpers.nspawn import Guest
from tests.helpers.rtsp import rtsp_camera
from tests.helpers.terminal import AtTerminal, typed_answers
from tests.systemd.test_service import CONFIG

pytestmark = [pytest.mark.xdist_group("guest"), pytest.mark.campaign("setup", part=0)]

BROKER_PASSWORD, CAMERA_PASSWORD = "broker hunter2", "camera hunter2"

# setup opens the camera three times, and tests the bundle
SETUP_S = 300.0


@pytest.fixture
def machine(guest: Guest) -> Iterator[Guest]:
    """A guest whose service plays the demo and has never been enabled."""
    before = guest.run("cat", CONFIG).stdout
    # the guest is on the network of this machine, where the usual port may be taken
    guest.run("perceptd", "page", "--config", CONFIG, "--listen", f"127.0.0.1:{free_port()}")
    yield guest
    guest.run("systemctl", "disable", "--now", "perceptd.service", check=False)
    guest.run("sh", "-c", "rm -f /etc/perceptd/*before-setup* /etc/perceptd/mqtt-password /tmp/perceptd-picture-*")
    guest.run("perceptd", "page", "--config", CONFIG, "--listen", "127.0.0.1", check=False)
    guest.write(CONFIG, before)


def state(guest: Guest) -> str:
    return guest.run("systemctl", "show", "perceptd", "-P", "ActiveState", "-P", "UnitFileState").stdout.strip()


def test_a_script_sets_up_the_service_and_changes_it_later(machine: Guest) -> None:
    with Mosquitto(("hall", BROKER_PASSWORD)) as broker, rtsp_camera("aac", "me", "secret") as camera:
        machine.write("/root/camera", f"{camera.url('me:secret@')}\n")
        machine.write("/root/password", f"{BROKER_PASSWORD}\n")
        machine.write("/root/page", "page hunter2\n")
        arguments = ["--node", "hall", "--stream", "door", "--camera-file", "/root/camera", "--microphone", "camera"]
        arguments += ["--broker", f"127.0.0.1:{broker.port}", "--username", "hall", "--password-file", "/root/password"]
        first = setup(machine, *arguments, "--page-password-file", "/root/page")
        assert (first["works"], first["service"]) == (True, "recognises"), first
        assert first["page_link"].startswith("http://localhost:")
        assert state(machine) == "active\nenabled"
        for file in (CONFIG, "/etc/perceptd/mqtt-password"):
            assert machine.run("stat", "-c", "%a %U %G", file).stdout == "640 root perceptd\n"
        (backup,) = first["backups"]
        assert "replay:" in machine.run("cat", backup).stdout
        # the service runs: it stops meanwhile, and has the new name then
        second = setup(machine, "--node", "porch", "--no-start")
        assert (second["service"], second["lost_keys"]) == ("recognises", [])
        assert "node: porch" in machine.run("cat", CONFIG).stdout


def test_a_person_sets_up_the_service_and_follows_the_link_to_its_page(machine: Guest) -> None:
    with Mosquitto(("hall", BROKER_PASSWORD)) as broker, rtsp_camera("aac", "me", CAMERA_PASSWORD) as camera:
        with AtTerminal([*machine.command("perceptd"), "setup"]) as terminal:
            for prompt, line in (
                *typed_answers(camera.url(), CAMERA_PASSWORD, broker.port),
                ("Password of hall", BROKER_PASSWORD),
                ("Number", "2"),
                ("Write it?", ""),
                # the camera plays a tone
                ("Listen again?", "no"),
                ("Password for the page", ""),
                ("Start the service now", ""),
            ):
                terminal.answer(prompt, line)
            assert terminal.wait() == 0, terminal.shown
        print(terminal.shown)
        assert "hunter2" not in terminal.shown
        assert "the service runs: recognising: 1 stream" in terminal.shown
        assert "open it    http://localhost:" in terminal.shown
        assert state(machine) == "active\nenabled"
        with AtTerminal([*machine.command("perceptd"), "watch"]) as watch:
            watch.expect(f"using {CONFIG}")
            # what the service recognises
            watch.expect("  door  ")
            watch.expect("  image ")


# with this nsenter outlives Ctrl-C. Otherwise it ends, and its terminal is closed with it
STAYS = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


@pytest.mark.parametrize("terminal_stays", [True, False])
def test_ctrl_c_brings_the_service_back(machine: Guest, *, terminal_stays: bool) -> None:
    machine.run("systemctl", "start", "perceptd.service")
    given = ["--node", "hall", "--stream", "door", "--camera", "/opt/perceptd/models/digits/demo/clip.mp4"]
    given += ["--microphone", "camera", "--broker", "127.0.0.1:1", "--username", "", "--bundle", "digits"]
    with AtTerminal([*(STAYS if terminal_stays else ()), *machine.command("perceptd"), "setup", *given]) as terminal:
        terminal.answer("on the local network?", "no")
        terminal.answer("Write it?")
        terminal.expect("the service stops meanwhile")
        # no broker answers there
        terminal.expect("Some of it does not work yet")
        assert not state(machine).startswith("active")
        terminal.interrupt()
        if terminal_stays:
            assert terminal.wait() == 130
            assert f"ended: {CONFIG} is written" in terminal.shown
            assert "the service is not running" not in terminal.shown, terminal.shown
        try:
            wait_until(partial(_is_active, machine), "the service runs again")
        except AssertionError:
            print(machine.run("journalctl", "-u", "perceptd", "-n", "40", "-o", "cat", check=False).stdout)
            raise


# starts the service as setup does, and prints what it says
START = """from daemon.core.errors import Refused
from daemon.setup.service import Systemd
systemd = Systemd()
try:
    systemd.start(enables=False)
    print(systemd.wait_until_it_recognises(print))
except Refused as error:
    print(error, *systemd.last_log(), sep="\\n")
"""
DROP_IN = "/run/systemd/system/perceptd.service.d/test.conf"
LIMIT = "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n"
SLOW = "[Unit]\nWants=slow.service\nAfter=slow.service\n"


def start(machine: Guest, drop_in: str) -> str:
    """Start the service with a drop-in of the unit; return what setup says."""
    machine.run("mkdir", "-p", str(Path(DROP_IN).parent))
    machine.write(DROP_IN, drop_in)
    machine.run("systemctl", "daemon-reload")
    done = machine.run("/opt/perceptd/.venv/bin/python3", "-c", f"import os; os.chdir('/opt/perceptd')\n{START}")
    return done.stdout


def test_what_may_keep_the_service_from_starting_is_overcome_or_told(machine: Guest) -> None:
    slow = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 3\n"
    machine.write("/run/systemd/system/slow.service", slow)
    try:
        said = start(machine, SLOW)
        assert "systemd waits for other units first, such as the network\n" in said and "\nrecognising: " in said, said
        said = start(machine, LIMIT)
        assert said.endswith("recognising: 1 stream\n"), said
        # somebody has restarted it too often
        restarts = [machine.run("systemctl", "restart", "perceptd", check=False).returncode for _ in range(4)]
        assert restarts[-1] != 0
        assert machine.run("systemctl", "show", "perceptd", "-P", "Result").stdout == "start-limit-hit\n"
        said = start(machine, LIMIT)
        assert said.endswith("recognising: 1 stream\n"), said
        said = start(machine, "[Service]\nExecStart=\nExecStart=/bin/false\n")
        assert "it has ended with exit code 1; systemd starts it again\nthe service is " in said, said
        machine.write(CONFIG, "node: [\n")
        said = start(machine, "")
        assert "its config or its bundle cannot be used\n" in said and f"\n{CONFIG}" in said, said
    finally:
        machine.run("sh", "-c", f"rm -f {DROP_IN} /run/systemd/system/slow.service; systemctl daemon-reload")


def _is_active(machine: Guest) -> bool:
    return state(machine).startswith("active")


def setup(machine: Guest, *arguments: str) -> dict:
    done = machine.run("perceptd", "setup", "--yes", "--json", *arguments, timeout_s=SETUP_S, check=False)
    log = machine.run("journalctl", "-u", "perceptd", "-n", "20", "-o", "cat", check=False).stdout
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{log}"
    assert "hunter2" not in done.stdout + done.stderr
    return json.loads(done.stdout)
