"""The Debian package takes over what scripts/install has installed, and scripts/install what the package has left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.mosquitto import free_port
from tests.helpers.nspawn import SUITES, bare_guest, install_checkout
from tests.systemd.packaged import OLD, SERVICE, Machine, Packages

pytestmark = [pytest.mark.campaign("packages", part=0), pytest.mark.xdist_group("packages-debian")]

OF_SCRIPT = (
    "/opt/perceptd/scripts",
    "/opt/perceptd/requirements",
    "/usr/local/bin/perceptd",
    "/etc/sysusers.d/perceptd.conf",
    "/etc/udev/rules.d/51-perceptd.rules",
    *(f"/etc/systemd/system/{unit}" for unit in ("perceptd.service", "perceptd.socket", "perceptd-page.service")),
    "/etc/systemd/system/perceptd-page.socket",
)


@pytest.fixture(params=SUITES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine on which scripts/install has installed the service, and on which it runs."""
    (tmp_path / "debs").mkdir()
    packages = Packages(request.param, tmp_path / "debs")
    # the script needs a network
    with bare_guest(packages.suite, tmp_path / "guest.log", packages.bind, network=True) as guest:
        install_checkout(guest)
        running = Machine(guest, packages.suite, free_port())
        running.start()
        yield running


def test_the_package_takes_over_and_restarts_once(machine: Machine) -> None:
    guest, kept, starts = machine.guest, machine.kept(), machine.starts()
    assert all(machine.exists(path) for path in OF_SCRIPT)
    guest.run("touch", "/opt/perceptd/libdelegate.so")
    told = machine.install(OLD)
    assert "taking over the perceptd that scripts/install has installed; config and state stay\n" in told
    machine.check_whole(OLD)
    assert machine.starts() == starts + 1
    assert machine.kept() == kept
    assert machine.show("FragmentPath").endswith("/lib/systemd/system/perceptd.service")
    assert [path for path in OF_SCRIPT if machine.exists(path)] == []
    assert machine.exists("/opt/perceptd/libdelegate.so")
    assert guest.run("sh", "-c", "command -v perceptd").stdout == "/usr/bin/perceptd\n"
    link = guest.run("readlink", "/etc/systemd/system/multi-user.target.wants/perceptd.service").stdout
    assert link.endswith("/lib/systemd/system/perceptd.service\n") and not link.startswith("/etc/")
    # and back: the script takes config and state from the package that was removed
    machine.apt("remove", "perceptd")
    install_checkout(guest)
    guest.run("systemctl", "start", SERVICE)
    machine.hear("demo/recognition")
    assert machine.kept() == kept
    told = machine.apt("purge", "perceptd")
    assert "config, state and users stay: scripts/install has installed perceptd again\n" in told
    machine.hear("demo/recognition")
