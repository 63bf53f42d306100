"""What a journey from the box to the first own event needs: a signed repository, a broker, a person, a stopwatch."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packages.repository import write_repository
from packages.source import commit_time_s
from packages.targets import Target

from tests.docs.pages import ROOT, block
from tests.helpers.debs import another
from tests.helpers.directed_camera import DirectedCamera
from tests.helpers.mosquitto import wait_until
from tests.helpers.nspawn import Guest
from tests.systemd.packaged import REPOSITORY, Machine

# the account of the person on the machine, and at the broker
USER, PERSON = "sam", "operator"
NODE, STREAM = "hall", "door"
PASSWORDS = {NODE: "broker hunter2", PERSON: "own hunter2"}
MODELS = "/models"
SOURCES = "/etc/apt/sources.list.d/perceptd.list"

PACKAGE_S, SETUP_S, TEACH_S, EVENT_S = 3600.0, 300.0, 300.0, 60.0

# programs for the guest: the PSS of the service and its children in kB; the bytes of the package's files
MEMORY = """
import json, pathlib, sys
def tree(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [each for child in children for each in tree(child)]
found = {}
for pid in tree(sys.argv[1]):
    name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\\0", b" ").decode()[-60:].strip()
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found[f"{pid} {name}"] = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Pss")}
print(json.dumps(found))
"""
INSTALLED = """
import os, subprocess, pathlib
listed = subprocess.run(["dpkg", "-L", "perceptd"], capture_output=True, text=True, check=True).stdout.split("\\n")
files = {path for path in listed if path and not path.startswith("/opt/perceptd")}
files |= {str(path) for path in pathlib.Path("/opt/perceptd").rglob("*")}
found = [os.lstat(path) for path in files if os.path.lexists(path) and not os.path.isdir(path)]
print(sum(status.st_blocks * 512 for status in {each.st_ino: each for each in found}.values()))
"""


class Steps:
    """Tells how long each step took, and all of them, at the end of the run."""

    def __init__(self, name: str, record: Callable[[str, object], None]) -> None:
        """`record` is pytest's record_property."""
        self._name, self._record, self.total_s = name, record, 0.0

    def tell(self, line: str) -> None:
        """Tell something else that was measured."""
        print(line)
        self._record("measured", f"{self._name}: {line}")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Measure the block."""
        began_s = time.monotonic()
        yield
        took_s = time.monotonic() - began_s
        self.total_s += took_s
        self.tell(f"{took_s:6.1f} s  {what}")


class SignedRepository:
    """The repository that scripts/package makes of this checkout for a target, signed with a key of its own."""

    def __init__(self, target: Target, directory: Path) -> None:
        self.directory, self._target, self._key = directory, target, directory / "apt.key"
        self._make_key(directory / "gpg")
        command = [str(ROOT / "scripts/package"), "--target", target.name, "--out", str(directory)]
        command += ["--sign-apt", str(self._key)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PACKAGE_S, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        (self.deb,) = directory.glob("perceptd_*.deb")
        directory.chmod(0o755)

    def add(self, version: str) -> None:
        """Add a package of another version."""
        debs = [(self._target, deb) for deb in (self.deb, another(self.deb, version))]
        write_repository(debs, self.directory / "apt", commit_time_s(), self._key)

    def _make_key(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-generate-key", "perceptd", "ed25519", "sign", "never"], check=True)
        done = subprocess.run([*gpg, "--export-secret-keys"], check=True, capture_output=True)
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
        self._key.write_bytes(done.stdout)
        self._key.chmod(0o600)


class Listener:
    """What the broker in the guest tells the person, for as long as the block runs."""

    def __init__(self, guest: Guest) -> None:
        options = ("-u", PERSON, "-P", PASSWORDS[PERSON], "-t", f"perceptd/{NODE}/#", "-F", "%t %p")
        # nsenter starts it as a child, which would outlive it
        self._command = guest.command("setpriv", "--pdeathsig", "KILL", "mosquitto_sub", "-h", "127.0.0.1", *options)
        self._heard: list[tuple[str, str]] = []

    def __enter__(self) -> "Listener":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, name="listener")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._thread.join()
        self._process.wait()

    def all(self, topic: str) -> list[dict[str, Any]]:
        """Return the messages of a topic of the node, in order."""
        return [json.loads(text) for of, text in self._heard.copy() if of == f"perceptd/{NODE}/{topic}" and text]

    def latest(self, topic: str) -> dict[str, Any]:
        """Return the latest message of a topic of the node, or an empty one."""
        return (self.all(topic) or [{}])[-1]

    def starts(self, label: str | None = None) -> list[dict[str, Any]]:
        """Return the starts of events."""
        return [
            each for each in self.all(f"{STREAM}/event") if each["phase"] == "start" and label in (None, each["label"])
        ]

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            topic, _, text = line.rstrip("\n").partition(" ")
            self._heard.append((topic, text))


class Journey:
    """A person before a new machine, who follows the pages, and whom a camera watches."""

    def __init__(self, guest: Guest, suite: str, camera: DirectedCamera) -> None:
        self.guest, self.camera, self._suite = guest, camera, suite
        self.machine = Machine(guest, suite)

    def add_repository(self) -> None:
        """Let apt trust the repository by its key."""
        guest = self.guest
        guest.run("install", "-m", "644", f"{REPOSITORY}/apt/perceptd.gpg", "/usr/share/keyrings/perceptd.gpg")
        line = f"deb [signed-by=/usr/share/keyrings/perceptd.gpg] file:{REPOSITORY}/apt {self._suite} main\n"
        guest.write(SOURCES, line)
        guest.run("apt-get", "update")

    def make_broker(self) -> None:
        """Give the broker accounts, and the access list of docs/security.md."""
        guest, files = self.guest, "/etc/mosquitto"
        for account, password in PASSWORDS.items():
            guest.run("touch", f"{files}/passwd")
            guest.run("mosquitto_passwd", "-b", f"{files}/passwd", account, password)
        guest.run("chown", "mosquitto:", f"{files}/passwd")
        guest.write(f"{files}/perceptd.acl", block("security.md", "# /etc/mosquitto/perceptd.acl"))
        # the broker without a login that the guest begins with
        guest.run("rm", "-f", f"{files}/conf.d/port.conf")
        settings = ["listener 1883", "allow_anonymous false", f"password_file {files}/passwd"]
        guest.write(f"{files}/conf.d/login.conf", "\n".join([*settings, f"acl_file {files}/perceptd.acl", ""]))
        guest.run("sh", "-c", "systemctl restart mosquitto || { journalctl -u mosquitto -n 20; exit 1; }")
        refused = guest.run("mosquitto_pub", "-h", "127.0.0.1", "-t", "try", "-m", "hello", check=False)
        assert "not authorised" in refused.stderr, refused.stderr

    def make_person(self) -> None:
        """Give the person an account of the machine, with the file for people."""
        guest, home = self.guest, f"/home/{USER}"
        guest.run("useradd", "--create-home", USER)
        text = f"node: {NODE}\nmqtt: {{host: 127.0.0.1, username: {PERSON}, password_file: password}}\n"
        guest.run("mkdir", "-p", f"{home}/.config/perceptd")
        guest.write(f"{home}/.config/perceptd/config.yaml", text)
        guest.write(f"{home}/.config/perceptd/password", f"{PASSWORDS[PERSON]}\n")
        guest.run("chmod", "600", f"{home}/.config/perceptd/password")
        guest.run("chown", "-R", f"{USER}:", f"{home}/.config")

    def setup(self, bundle: Sequence[str]) -> dict[str, Any]:
        """Set up the node as a script does; return what setup has said."""
        guest = self.guest
        guest.write("/root/camera-url", f"{self.camera.url}\n")
        guest.write("/root/broker-password", f"{PASSWORDS[NODE]}\n")
        command = ["perceptd", "setup", "--yes", "--json", "--node", NODE, "--stream", STREAM]
        command += ["--camera-file", "/root/camera-url", "--microphone", "camera", "--broker", "127.0.0.1"]
        command += ["--username", NODE, "--password-file", "/root/broker-password", *bundle]
        done = guest.run(*command, timeout_s=SETUP_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert (told["works"], told["service"]) == (True, "recognises"), told
        return told

    def perceptd(self, *command: str) -> str:
        """Run a command as the person, and return what it has said."""
        done = self.guest.run("runuser", "-u", USER, "--", "perceptd", *command, timeout_s=TEACH_S)
        return done.stdout

    def retained(self) -> str:
        """Return the topics of the node that the broker retains."""
        options = ("-u", PERSON, "-P", PASSWORDS[PERSON], "--retained-only", "-W", "2", "-F", "%t")
        command = ("mosquitto_sub", "-h", "127.0.0.1", *options, "-t", f"perceptd/{NODE}/#")
        return self.guest.run(*command, check=False).stdout

    def memory(self) -> dict[str, dict[str, int]]:
        """Return the PSS of each process of the service, in kB."""
        pid = self.machine.show("MainPID")
        found: dict[str, dict[str, int]] = json.loads(self.guest.run("python3", "-c", MEMORY, pid).stdout)
        return found

    def installed_mb(self) -> float:
        """Return the room that the files of the package take, with their bytecode."""
        return int(self.guest.run("python3", "-c", INSTALLED).stdout) / 1e6

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Wait; a failure shows the log of the service."""
        try:
            wait_until(condition, what, timeout_s)
        except AssertionError as error:
            log = self.guest.run("journalctl", "-u", "perceptd", "-n", "30", "-o", "cat", check=False).stdout
            raise AssertionError(f"{error}\n{log}") from None
