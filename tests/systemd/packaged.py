"""A guest on which the Debian package of perceptd is installed from an apt repository, changed and removed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from packages.repository import write_repository
from packages.targets import Target

from daemon import __version__
from tests.helpers.debs import another, built, target_of
from tests.helpers.mosquitto import wait_until
from tests.helpers.nspawn import Guest

SERVICE = "perceptd.service"
CONFIG = "/etc/perceptd/config.yaml"
STATE = "/var/lib/perceptd"
REPOSITORY = "/repository"
OLD, NEW = __version__, "99.0.0"
APT_S = 600.0
HEARD_S = 120

# of the message with which systemd notes that a unit was started
STARTED = "39f53479d3a045ac8e11786248231fbf"

# every state file of NEW has a later version, and there is a module that OLD does not have
LATER = {
    "mqtt/outbox/schema.py": [("VERSION = 1\n", "VERSION = 2\n")],
    "history/schema.py": [("VERSION = 1\n", "VERSION = 2\n")],
    "teaching/schema.py": [("VERSION = 1\n", "VERSION = 2\n")],
    "mqtt/home_assistant/ledger.py": [("version: Literal[2] = 2", "version: Literal[3] = 3")],
    "node/fit_record.py": [("version: Literal[1] = 1", "version: Literal[2] = 2")],
    "node/history_topics.py": [("version: Literal[1] = 1", "version: Literal[2] = 2")],
    "updates/state.py": [("format: Literal[1] = 1", "format: Literal[2] = 2")],
    "updates/taught_state.py": [("format: Literal[1] = 1", "format: Literal[2] = 2")],
    "web/accounts_file.py": [("VERSION = 1\n", "VERSION = 2\n")],
    "node/device_id.py": [
        ("VERSION = 1\n", "VERSION = 2\n"),
        ('f"{self.value}\\n"', 'f"version 2\\n{self.value}\\n"'),
        (".strip()", '.strip().removeprefix("version 2").strip()'),
    ],
    "node/switches.py": [
        ("VERSION = 1\n", "VERSION = 2\n"),
        ('{VERSION_ENTRY: {"version": VERSION}, **streams}', '{"version": VERSION, **streams}'),
    ],
}


class Packages:
    """The packages of some versions for one release of Debian, and an apt repository of them."""

    def __init__(self, suite: str, directory: Path) -> None:
        """Build OLD and NEW."""
        self.suite, self._directory = suite, directory
        self.repository = directory / "apt"
        self.old = built(suite, directory)
        self._all = [(target_of(suite), self.old)]
        self.add(NEW)

    def add(self, version: str, edits: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> None:
        """Add a version of the program, with other texts in files of daemon/."""
        self._write((target_of(self.suite), another(self.old, version, edits)))

    def add_suite(self, suite: str) -> None:
        """Add OLD for another release of Debian."""
        self._write((target_of(suite), built(suite, self._directory)))

    def _write(self, package: tuple[Target, Path]) -> None:
        self._all.append(package)
        write_repository(self._all, self.repository, 0, None)

    @property
    def bind(self) -> str:
        """The option with which a guest sees the repository. The directory is made anew by `add`, so its parent."""
        self._directory.chmod(0o755)
        return f"--bind-ro={self._directory}:{REPOSITORY}"


class Machine:
    """A guest and what runs on it."""

    def __init__(self, guest: Guest, suite: str, port: int = 1883) -> None:
        """`port` is that of the broker in the guest, which may have the network of this machine."""
        self.guest, self.debian = guest, target_of(suite).debian
        self._broker = ("-h", "127.0.0.1", "-p", str(port))
        guest.run("rm", "-rf", "/etc/apt/sources.list", "/etc/apt/sources.list.d")
        guest.run("mkdir", "/etc/apt/sources.list.d")
        self.use_repository(suite)
        self._port = port
        guest.write("/etc/mosquitto/conf.d/port.conf", f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        guest.run("systemctl", "restart", "mosquitto")

    def use_repository(self, suite: str) -> None:
        """Let apt use the repository, with the packages for a release of Debian."""
        line = f"deb [trusted=yes] file:{REPOSITORY}/apt {suite} main\n"
        self.guest.write("/etc/apt/sources.list.d/perceptd.list", line)
        self.guest.run("apt-get", "update")

    def full(self, version: str) -> str:
        """Return the version of the package, of a version of the program."""
        return f"{version}+deb{self.debian}"

    def apt(self, *command: str, check: bool = True) -> str:
        """Run apt-get, and return what it and the package have said."""
        apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--allow-downgrades", *command)
        done = self.guest.run(*apt, timeout_s=APT_S, check=check)
        return done.stdout + done.stderr

    def install(self, version: str) -> str:
        """Install a version of the program."""
        return self.apt("install", f"perceptd={self.full(version)}")

    def start(self) -> None:
        """Let the service run now and at each boot, with a history, and with health each second; mute it."""
        config = yaml.safe_load(self.guest.run("cat", CONFIG).stdout)
        settings = {"history": {}, "health": {"every_s": 1.0}, "mqtt": {"port": self._port}}
        self.guest.write(CONFIG, yaml.safe_dump({**config, **settings}))
        self.guest.run("systemctl", "enable", "--now", SERVICE, timeout_s=APT_S)
        self.hear("demo/recognition")
        self.send("mute", '{"stream": "demo"}')
        wait_until(lambda: self.exists(f"{STATE}/switches.json"), "the stream is muted")
        # who may use the page
        self.guest.run("perceptd", "page", "--config", CONFIG, "--link")

    def send(self, command: str, arguments: str) -> None:
        """Send a command to the node."""
        publish = ("mosquitto_pub", *self._broker, "-t", f"perceptd/demo/command/{command}", "-m", arguments)
        self.guest.run(*publish)

    def hear(self, topic: str) -> dict[str, Any]:
        """Wait for the next message of a topic of the node that is not retained."""
        command = ("mosquitto_sub", *self._broker, "-R", "-C", "1", "-W", str(HEARD_S), "-t", f"perceptd/demo/{topic}")
        told: dict[str, Any] = json.loads(self.guest.run(*command, timeout_s=HEARD_S + 30).stdout)
        return told

    def health(self) -> dict[str, Any]:
        """Return the next health of the node."""
        return self.hear("health")

    def retained(self) -> list[str]:
        """Return the topics that the broker retains."""
        command = ("mosquitto_sub", *self._broker, "--retained-only", "-W", "2", "-F", "%t", "-t", "#")
        topics = self.guest.run(*command, check=False).stdout.split()
        return sorted(topic for topic in topics if not topic.startswith("$"))

    def starts(self) -> int:
        """Return how often systemd has started the service, by its own records."""
        self.guest.run("journalctl", "--sync")
        query = ("journalctl", "--output=cat", "--quiet", f"--unit={SERVICE}", f"MESSAGE_ID={STARTED}")
        return len(self.guest.run(*query).stdout.splitlines())

    def show(self, name: str, unit: str = SERVICE) -> str:
        """Return a property of a unit."""
        return self.guest.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def exists(self, path: str) -> bool:
        """Return whether there is a file, or a link wherever it leads."""
        return self.guest.run("test", "-e", path, "-o", "-L", path, check=False).returncode == 0

    def kept(self) -> dict[str, str]:
        """Return what no upgrade may change: the config, its rights, and the files of the node's own."""
        names = (CONFIG, f"{STATE}/device_id", f"{STATE}/switches.json", "/var/lib/perceptd-page/accounts.json")
        found = {name: self.guest.run("sh", "-c", f"cat {name}; stat -c '%U:%G %a' {name}").stdout for name in names}
        return {**found, "enabled": self.guest.run("systemctl", "is-enabled", SERVICE, check=False).stdout}

    def check_whole(self, version: str) -> None:
        """Check that a version is installed completely, and that its service recognises."""
        status = self.guest.run(
            "dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Version}", "perceptd"
        ).stdout
        assert status == f"ii  {self.full(version)}", status
        assert self.guest.run("dpkg", "--verify", "perceptd").stdout == ""
        assert self.guest.run("dpkg", "--audit").stdout == ""
        assert self.guest.run("find", "/opt/perceptd", "-name", "*.dpkg-*").stdout == ""
        assert self.show("ActiveState") == "active"
        self.hear("demo/recognition")
        assert self.health()["version"] == version

    def orphans(self) -> list[str]:
        """Return the files of bytecode whose source is gone."""
        script = (
            "import pathlib, importlib.util as util\n"
            "for path in pathlib.Path('/opt/perceptd').rglob('*.pyc'):\n"
            "    if not pathlib.Path(util.source_from_cache(str(path))).exists(): print(path)\n"
        )
        return self.guest.run("python3", "-c", script).stdout.split()
