"""dpkg is killed at 20 points of an upgrade; `dpkg --configure -a`, or installing again, makes the machine whole."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.helpers.mosquitto import wait_until
from tests.helpers.nspawn import SUITES, bare_guest
from tests.systemd.packaged import APT_S, NEW, OLD, REPOSITORY, Machine, Packages

pytestmark = [pytest.mark.campaign("packages", part=0), pytest.mark.xdist_group("packages-killed")]

POINTS = 20
DEATH_S = 120.0


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the service runs."""
    packages = Packages(request.param, tmp_path_factory.mktemp("debs"))
    log = tmp_path_factory.mktemp("guest") / "guest.log"
    with bare_guest(packages.suite, log, packages.bind) as guest:
        running = Machine(guest, packages.suite)
        running.install(OLD)
        running.start()
        yield running


def upgrade(machine: Machine, version: str, killed_after_s: float | None) -> float:
    """Install a version by dpkg; kill its process group after a time. Return how long dpkg ran."""
    began = time.monotonic()
    process = subprocess.Popen(
        machine.guest.command("dpkg", "--install", file_of(machine, version)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(killed_after_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # a process that waits for the disk dies after it, and keeps dpkg's lock until then
    wait_until(lambda: is_gone(process.pid), "every process of the killed dpkg has ended", DEATH_S)
    return time.monotonic() - began


def is_gone(group: int) -> bool:
    """Return whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_upgrade_that_is_killed_anywhere_is_completed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    guest, kept = machine.guest, machine.kept()
    whole_s = upgrade(machine, NEW, None)
    machine.check_whole(NEW)
    version = NEW
    for point in range(1, POINTS + 1):
        version = OLD if version == NEW else NEW
        upgrade(machine, version, whole_s * point / (POINTS + 1))
        status = guest.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", "perceptd").stdout
        configured = guest.run("dpkg", "--configure", "-a", check=False, timeout_s=600)
        # dpkg leaves a package alone whose files were being replaced
        repaired = "" if is_installed(machine) else install_again(machine, version, from_file=point % 2 == 0)
        with capsys.disabled():
            print(f"\n{point}: killed at {point / (POINTS + 1):.0%} as {status}", end="")
            print("; it was installed again" if repaired else "", end="")
        assert is_installed(machine), configured.stdout + configured.stderr + repaired
        version = guest.run("perceptd", "--version").stdout.split()[-1]
        machine.check_whole(version)
        assert machine.kept() == kept
        assert machine.orphans() == []
        assert not machine.exists("/run/perceptd-package")


def install_again(machine: Machine, version: str, *, from_file: bool) -> str:
    """Repair the package as docs/operations.md says. apt cannot: it never goes back to the version of a file."""
    if from_file:
        return machine.guest.run("dpkg", "--install", file_of(machine, version), timeout_s=APT_S).stdout
    return machine.apt("install", "--reinstall", "perceptd")


def file_of(machine: Machine, version: str) -> str:
    """Return the package of a version, a path in the guest."""
    return machine.guest.run("sh", "-c", f"ls {REPOSITORY}/perceptd_{version}+*.deb").stdout.strip()


def is_installed(machine: Machine) -> bool:
    show = ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", "perceptd")
    return machine.guest.run(*show, check=False).stdout.strip() == "ii"
