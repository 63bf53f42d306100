"""What a journey from the box to the first own event needs: a signed repository, a broker, a person, a stopwatch."""

import json
import os
import shlex
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

from daemon import __version__
from tests.docs.pages import ROOT, block
from tests.helpers.directed_camera import DirectedCamera
from tests.helpers.mosquitto import wait_until
from tests.helpers.nspawn import Guest
from tests.systemd.packaged import APT_S, REPOSITORY, Machine
from tests.systemd.typed import USER, Person, commands_of

NODE, STREAM = "hall", "door"
PASSWORDS = {NODE: "broker hunter2", USER: "own hunter2"}
MODELS = "/models"
SOURCES = "/etc/apt/sources.list.d/perceptd.list"
# what the pages say, and where the web server of the guest is
FILE, SERVED = f"perceptd_{__version__}+deb12_amd64.deb", "http://127.0.0.1:8000"
AGREE = (("[Y/n]", "y"),)
# what the package of the commit before is called
BEFORE = "0.7.99"

PACKAGE_S, SETUP_S, TEACH_S, EVENT_S, CHECK_S = 3600.0, 300.0, 300.0, 60.0, 120.0

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
    """The repository that scripts/package makes of this checkout for a target, as docs/packages.md tells."""

    def __init__(self, target: Target, directory: Path) -> None:
        self.directory, self._target, self._key = directory, target, directory / "apt-secret.asc"
        home = directory / "gpg"
        home.mkdir(mode=0o700)
        commands = f"{commands_of('packages.md', 'gpg --batch')} --target {target.name} --out ."
        script = commands.replace("scripts/package", str(ROOT / "scripts/package"))
        environment = {**os.environ, "GNUPGHOME": str(home)}
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PACKAGE_S,
            check=False,
        )
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
        assert done.returncode == 0, done.stderr[-2000:]
        (self.deb,) = directory.glob("perceptd_*.deb")
        directory.chmod(0o755)

    def add(self, deb: Path) -> None:
        """Add another package."""
        debs = [(self._target, each) for each in (self.deb, deb)]
        write_repository(debs, self.directory / "apt", commit_time_s(), self._key)


class Listener:
    """What the broker in the guest tells the person, for as long as the block runs."""

    def __init__(self, guest: Guest) -> None:
        options = ("-u", USER, "-P", PASSWORDS[USER], "-t", f"perceptd/{NODE}/#", "-F", "%t %p")
        # nsenter starts it as a child, which would outlive it
        self._command = guest.command("setpriv", "--pdeathsig", "KILL", "mosquitto_sub", "-h", "127.0.0.1", *options)
        self._heard: dict[str, list[dict[str, Any]]] = {}

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
        return self._heard.get(f"perceptd/{NODE}/{topic}", []).copy()

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
            if text.startswith("{"):
                self._heard.setdefault(topic, []).append(json.loads(text))


class Journey:
    """A person before a new machine, who follows the pages, and whom a camera watches."""

    def __init__(self, guest: Guest, suite: str, camera: DirectedCamera, deb: str) -> None:
        """`deb` is the name of the package's file."""
        self.guest, self.camera = guest, camera
        self.machine = Machine(guest, suite)
        # the broker without a login that the guest begins with
        guest.run("rm", "-f", "/etc/mosquitto/conf.d/port.conf", SOURCES)
        # the installer of Debian writes it
        guest.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.person = Person(
            guest,
            {
                FILE: deb,
                f"perceptd={__version__}+deb13": f"perceptd={self.machine.full(BEFORE)}",
                "'YOUR-PASSWORD'": f"'{PASSWORDS[USER]}'",
                "YOUR-PASSWORD": f"'{PASSWORDS[USER]}'",
                "192.168.1.5": "127.0.0.1",
                "https://packages.example.org": SERVED,
                "bookworm": suite,
            },
        )

    def install_file(self) -> None:
        """Install the package from its file, as docs/getting-started.md begins."""
        self.person.types("getting-started.md", "sudo apt install ./", before=f"cd {REPOSITORY}; ", timeout_s=APT_S)

    def add_repository(self) -> None:
        """Let apt use the repository, which a web server of the machine serves, as docs/packages.md tells."""
        self.guest.run("systemd-run", "--unit=repository", "python3", "-m", "http.server", "-d", f"{REPOSITORY}/apt")
        self.wait(self._is_served, "the repository is served", EVENT_S)
        self.person.types("packages.md", "sudo wget", timeout_s=APT_S)

    def _is_served(self) -> bool:
        return self.guest.run("wget", "-q", "--spider", f"{SERVED}/perceptd.gpg", check=False).returncode == 0

    def go_back(self) -> None:
        """Install the package of the commit before from the repository, as docs/operations.md tells."""
        self._apt("sudo apt install ./perceptd_0.9.0", "sudo apt install --allow-downgrades")

    def upgrade(self) -> None:
        """Install the latest package of the repository."""
        self._apt("sudo apt install ./perceptd_0.9.0", "sudo apt update", answers=())

    def purge(self) -> None:
        """Remove the package, and all that it has left."""
        self._apt("sudo apt remove", "sudo apt purge")

    def _apt(self, block: str, line: str, answers: Sequence[tuple[str, str]] = AGREE) -> None:
        self.person.types("operations.md", block, answers, line=line, timeout_s=APT_S)

    def make_broker(self) -> None:
        """Set up a broker with a login as docs/getting-started.md does, and the access list of docs/security.md."""
        typed = [each for user in (NODE, USER) for each in [("assword: ", PASSWORDS[user])] * 2]
        self.person.types("getting-started.md", "sudo apt-get install mosquitto", typed, timeout_s=APT_S)
        shown = self.person.types("getting-started.md", "$ mosquitto_pub", before="set +e\n")
        assert shown.count("not authorised") == 1, shown
        guest = self.guest
        # one person has the rights of two
        rights = block("security.md", "# /etc/mosquitto/perceptd.acl").replace("user frontdesk", f"user {USER}")
        guest.write("/etc/mosquitto/perceptd.acl", rights.replace("user operator", f"user {USER}"))
        guest.run("sh", "-c", "echo acl_file /etc/mosquitto/perceptd.acl >>/etc/mosquitto/conf.d/login.conf")
        guest.run("sh", "-c", "systemctl restart mosquitto || { journalctl -u mosquitto -n 20; exit 1; }")

    def setup(self, bundle: str) -> dict[str, Any]:
        """Set up the node by the options of docs/setup.md; return what setup has said."""
        home = f"/home/{USER}"
        self.guest.write(f"{home}/camera-url", f"{self.camera.url}\n")
        self.guest.write(f"{home}/broker-password", f"{PASSWORDS[NODE]}\n")
        told = f" {bundle} --json >setup.json"
        try:
            shown = self.person.types("setup.md", "sudo perceptd setup --yes", after=told, timeout_s=SETUP_S)
        finally:
            written = self.guest.run("cat", f"{home}/setup.json", check=False).stdout
            print(written[-3000:])
        assert "hunter2" not in shown + written
        found: dict[str, Any] = json.loads(written)
        assert (found["works"], found["service"]) == (True, "recognises"), found
        return found

    def use_own_account(self) -> None:
        """Write the account of the person into files that the commands find."""
        self.person.types("getting-started.md", "mkdir -p ~/.config/perceptd")

    def try_the_rest(self, *, has_events: bool) -> None:
        """Type what else docs/getting-started.md has. With `has_events`, events come again and again."""
        page, types = "getting-started.md", self.person.types
        types(page, "sudo perceptd check-config", timeout_s=CHECK_S)
        if has_events:
            assert '"phase":' in types(page, "mosquitto_sub", after=" -C 1 -W 60")
        assert "mute: done" in types(page, "$ perceptd send mute")
        self.perceptd("send", "unmute", "--stream", STREAM)
        assert "http://localhost:" in types(page, "sudo perceptd page --link")

    def restore(self, backup: str) -> None:
        """Copy the config of before the setup over the present one, as docs/setup.md tells."""
        self.person.replace("/etc/perceptd/config.yaml.before-setup-20261130-101500", backup)
        self.person.types("setup.md", "sudo cp /etc/perceptd")

    def perceptd(self, *command: str) -> str:
        """Run a command as the person, and return what it has said."""
        with self.person.at(shlex.join(("perceptd", *command))) as terminal:
            code = terminal.wait(TEACH_S)
            assert code == 0, terminal.shown
            return terminal.shown

    def retained(self) -> str:
        """Return the topics of the node that the broker retains."""
        options = ("-u", USER, "-P", PASSWORDS[USER], "--retained-only", "-W", "2", "-F", "%t")
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
