"""Guest systems of Debian booted by a real systemd: with perceptd installed by scripts/install, or without it."""

import itertools
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

import pytest

from tests.helpers.cache import cached, key_of
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import is_running

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
SUITES = ("bookworm", "trixie")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "libportaudio2", "ca-certificates")
# with these a Debian package of perceptd can be installed without a network, and a broker runs in the guest
BARE_PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "python3", "python3-venv", "libportaudio2", "libstdc++6")
BARE_PACKAGES += ("ca-certificates", "mosquitto", "mosquitto-clients", "sudo", "wget")

# the cached image depends on these files, because they decide which packages are installed;
# the daemon itself is installed again in every run
INSTALLED_BY = ("scripts/install", "scripts/setup.sh", "requirements/runtime.lock", "pyproject.toml")

COPY = "guest-copy-"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# not at the same place in the guest, whose own package ca-certificates writes that file
GUEST_CERTIFICATES = "/certificates.crt"
NETWORK = ("PIP_INDEX_URL", "PIP_TRUSTED_HOST", "http_proxy", "https_proxy", "no_proxy")
_numbers = itertools.count(1)

# In a mount namespace of its own: what it mounts in an image does not outlive a killed test.
MMDEBSTRAP = ("unshare", "--mount", "mmdebstrap")
BOOT_S = 120.0
COMMAND_S = 120.0
INSTALL_S = 600.0


class Guest:
    """Boots the system in `root`, and changes it. A context manager."""

    def __init__(self, root: Path, log: Path, *options: str) -> None:
        name = f"--machine=perceptd-{root.name}"
        # --register=no and --keep-unit: the host need not run systemd. A guest ends with the tests' process.
        self._command = ("setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--register=no")
        self._command += ("--keep-unit", "--console=pipe", name)
        self._command += (*options, f"--directory={root}", "--boot")
        self._log = log.open("wb")

    def __enter__(self) -> "Guest":
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        try:
            wait_until(self._is_up, "the guest boots", BOOT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def command(self, *command: str) -> tuple[str, ...]:
        """Return the command for the host that runs a command in the guest, as root."""
        # the guest has no such directory of this machine
        return ("nsenter", f"--target={self._leader()}", "--all", "env", "--unset=TMPDIR", *command)

    def network(self, *command: str) -> tuple[str, ...]:
        """Return the command that runs a program of the host in the guest's network."""
        return ("nsenter", f"--target={self._leader()}", "--net", *command)

    def run(
        self, *command: str, check: bool = True, text: str | None = None, timeout_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest; with `check`, fail with its output if it fails."""
        done = subprocess.run(
            self.command(*command), input=text, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def write(self, path: str, text: str) -> None:
        """Write a file; an existing file keeps its owner and mode."""
        self.run("dd", "status=none", f"of={path}", text=text)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file of the host into the guest."""
        done = subprocess.run(self.command("dd", "status=none", f"of={path}"), input=source.read_bytes(), check=False)
        assert done.returncode == 0, f"{source} could not be copied to {path}"

    def _leader(self) -> int:
        """Return the host's pid of the guest's first process: the only child of systemd-nspawn."""
        assert self._process.poll() is None, Path(self._log.name).read_text()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def _is_up(self) -> bool:
        if self._leader() == 0:
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        time.sleep(0.1)
        return state in ("running", "degraded")

    def _end(self) -> None:
        if self._process.poll() is None and (leader := self._leader()):
            os.kill(leader, signal.SIGKILL)  # this kills every process of the guest
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def installed_guest(log: Path) -> Iterator[Guest]:
    """Yield a running guest in which scripts/install has installed this checkout; its files are removed at the end.

    Debian and the daemon's Python packages come from an image that is made once, which takes more than a minute.
    """
    _check_host()
    made_of = (path.read_bytes() for path in (ROOT / part for part in INSTALLED_BY))
    key = key_of(SUITE, *PACKAGES, platform.machine(), *made_of)
    with cached("guest", key, lambda path: _make_image(path, log)) as image, _copied(image) as root:
        for path in ("etc/perceptd", "var/lib/perceptd"):
            shutil.rmtree(root / path, ignore_errors=True)
        with Guest(root, log, *_binds()) as guest:
            install_checkout(guest)
            yield guest


@contextmanager
def bare_guest(suite: str, log: Path, *options: str, network: bool = False) -> Iterator[Guest]:
    """Yield a running guest of a Debian without perceptd; its files are removed at the end.

    It has a network of its own, without a way out, unless it shares the `network` of this machine. A broker without a
    login runs in it. `options` are those of systemd-nspawn.
    """
    _check_host()
    key = key_of(suite, *BARE_PACKAGES, platform.machine())
    with cached(f"debian-{suite}", key, partial(_make_debian, suite, BARE_PACKAGES)) as image, _copied(image) as root:
        alone = () if network else ("--private-network",)
        with Guest(root, log, *_binds(), *alone, *options) as guest:
            yield guest


def _check_host() -> None:
    if os.geteuid() != 0:
        pytest.fail("a guest system needs root: run these tests as root, or leave them out by --ignore=tests/systemd")
    missing = [name for name in ("systemd-nspawn", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found; the guest system needs the packages systemd-container mmdebstrap")


def _make_debian(suite: str, packages: Sequence[str], root: Path) -> None:
    command = [*MMDEBSTRAP, "--variant=minbase", f"--include={','.join(packages)}", suite, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _make_image(root: Path, log: Path) -> None:
    """Make an image of Debian with this checkout installed."""
    _make_debian(SUITE, PACKAGES, root)
    with Guest(root, log, *_binds()) as guest:
        install_checkout(guest)


@contextmanager
def _copied(image: Path) -> Iterator[Path]:
    """Yield a copy of the image; copies of killed test runs are removed."""
    for other in image.parent.glob(f"{COPY}*"):
        if not is_running(int(other.name.removeprefix(COPY).partition("-")[0])):
            shutil.rmtree(other, ignore_errors=True)
    copy = image.with_name(f"{COPY}{os.getpid()}-{next(_numbers)}")
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", image, copy], check=True, timeout=INSTALL_S)
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _binds() -> list[str]:
    certificates = [f"--bind-ro={CERTIFICATES}:{GUEST_CERTIFICATES}"] if CERTIFICATES.exists() else []
    return [f"--bind-ro={ROOT}:/src", *certificates]


def install_checkout(guest: Guest) -> None:
    """Let scripts/install install this checkout in a guest that has the network of this machine."""
    network = [f"{name}={os.environ[name]}" for name in NETWORK if name in os.environ]
    guest.run("env", f"PIP_CERT={GUEST_CERTIFICATES}", *network, "/src/scripts/install", timeout_s=INSTALL_S)
