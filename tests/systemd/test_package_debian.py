"""An upgrade of Debian 12 to 13 with the package installed, with and without an apt repository of perceptd."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import __version__
from tests.helpers.mosquitto import free_port
from tests.helpers.nspawn import Guest, bare_guest
from tests.systemd.packaged import OLD, REPOSITORY, SERVICE, Machine, Packages

pytestmark = [pytest.mark.campaign("packages", part=0), pytest.mark.xdist_group("packages-debian")]

UPGRADE_S = 1800.0
DEBIAN = """deb http://deb.debian.org/debian {suite} main
deb http://deb.debian.org/debian-security {suite}-security main
"""
KEEP = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The package for both releases of Debian."""
    found = Packages("bookworm", tmp_path_factory.mktemp("debs"))
    found.add_suite("trixie")
    return found


@pytest.fixture
def machine(packages: Packages, tmp_path: Path) -> Iterator[Machine]:
    """A machine with Debian 12 on which the service runs, on the network of this machine."""
    with bare_guest("bookworm", tmp_path / "guest.log", packages.bind, network=True) as guest:
        running = Machine(guest, "bookworm", free_port())
        running.install(OLD)
        running.start()
        yield running


def upgrade_debian(guest: Guest) -> str:
    guest.write("/etc/apt/sources.list", DEBIAN.format(suite="trixie"))
    guest.run("apt-get", "update", timeout_s=UPGRADE_S)
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", *KEEP, "full-upgrade")
    done = guest.run(*apt, timeout_s=UPGRADE_S)
    assert guest.run("cat", "/etc/debian_version").stdout.startswith("13")
    return done.stdout + done.stderr


def test_with_a_repository_the_package_is_upgraded_with_debian(machine: Machine) -> None:
    kept, starts = machine.kept(), machine.starts()
    machine.use_repository("trixie")
    upgrade_debian(machine.guest)
    machine.debian = 13
    machine.check_whole(OLD)
    assert (machine.kept(), machine.starts()) == (kept, starts + 1)
    machine.apt("--purge", "autoremove")
    machine.check_whole(OLD)
    assert not machine.exists("/usr/bin/python3.11")


def test_without_a_repository_the_service_goes_on_until_the_other_package_is_installed(machine: Machine) -> None:
    guest, kept = machine.guest, machine.kept()
    guest.run("rm", "/etc/apt/sources.list.d/perceptd.list")
    told = upgrade_debian(guest)
    assert "Removing perceptd" not in told
    machine.check_whole(OLD)
    machine.apt("--purge", "autoremove")
    guest.run("systemctl", "restart", SERVICE)
    machine.check_whole(OLD)
    file = guest.run("sh", "-c", f"ls {REPOSITORY}/perceptd_{__version__}+deb13_*.deb").stdout.strip()
    machine.apt("install", file)
    machine.debian = 13
    machine.check_whole(OLD)
    assert machine.kept() == kept
