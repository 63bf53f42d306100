"""The Debian package on Debian 12 and 13: install, upgrade, go back, remove, install again, and purge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.node.state_files import STATE_FILES
from tests.helpers.nspawn import SUITES, bare_guest
from tests.systemd.packaged import CONFIG, LATER, NEW, OLD, REPOSITORY, SERVICE, STATE, Machine, Packages

pytestmark = [pytest.mark.campaign("packages", part=0), pytest.mark.xdist_group("packages")]

LATER_VERSION = "99.1.0"
PAGE_STATE = "/var/lib/perceptd-page"
USERS = ("perceptd", "perceptd-page")
UNITS = ("perceptd.service", "perceptd.socket", "perceptd-page.service", "perceptd-page.socket")


@pytest.fixture(scope="module", params=SUITES)
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The packages for a release of Debian."""
    return Packages(request.param, tmp_path_factory.mktemp("debs"))


@pytest.fixture
def machine(packages: Packages, tmp_path: Path) -> Iterator[Machine]:
    with bare_guest(packages.suite, tmp_path / "guest.log", packages.bind) as guest:
        yield Machine(guest, packages.suite)


def test_a_first_installation_starts_nothing_and_says_what_to_do(machine: Machine) -> None:
    guest = machine.guest
    told = machine.install(OLD)
    assert f"writing {CONFIG}, which replays the demo recording until you change it\n" in told
    assert "To set perceptd up, run: sudo perceptd setup\n" in told
    assert guest.run("perceptd", "--version").stdout == f"perceptd {OLD}\n"
    assert guest.run("stat", "--format=%U:%G %a", CONFIG, "/etc/perceptd").stdout.splitlines() == [
        "root:perceptd 640",
        "root:perceptd 750",
    ]
    assert guest.run("stat", "--format=%U:%G %a", PAGE_STATE).stdout == "perceptd-page:perceptd-page 700\n"
    assert [machine.show("LoadState", unit) for unit in UNITS] == ["loaded"] * 4
    assert [machine.show("ActiveState", unit) for unit in UNITS] == ["inactive"] * 4
    assert guest.run("dpkg", "--verify", "perceptd").stdout == ""
    assert "conffile" not in guest.run("dpkg-query", "--show", "--showformat=${Conffiles}", "perceptd").stdout
    guest.run("perceptd", "check-config")
    machine.start()
    machine.check_whole(OLD)
    assert machine.show("FragmentPath").endswith("/lib/systemd/system/perceptd.service")
    refused = guest.run("/src/scripts/install", check=False)
    assert refused.returncode == 1
    assert "because perceptd is installed as a Debian package. Upgrade it by apt." in refused.stderr
    assert "sudo apt remove perceptd" in refused.stderr
    machine.check_whole(OLD)


def test_an_upgrade_and_the_way_back_restart_once_and_keep_config_and_state(machine: Machine) -> None:
    guest = machine.guest
    machine.install(OLD)
    machine.start()
    guest.run("touch", "/opt/perceptd/libdelegate.so")
    kept, starts, events = machine.kept(), machine.starts(), machine.health()["history"]["events"]
    for version in (NEW, OLD):
        machine.install(version)
        machine.check_whole(version)
        starts += 1
        assert machine.starts() == starts
        assert machine.show("NRestarts") == "0"
        assert machine.kept() == kept
        assert machine.orphans() == []
        assert machine.exists("/opt/perceptd/libdelegate.so")
        told = machine.health()
        assert told["state_problem"] is None
        assert told["history"]["events"] >= events
        assert machine.show("ActiveState", "perceptd-page.socket") == "active"
    # what does not run is not started, whether it is enabled or not
    guest.run("systemctl", "stop", SERVICE)
    machine.install(NEW)
    assert (machine.show("ActiveState"), machine.starts()) == ("inactive", starts)
    # what runs is started again, although no boot would start it
    guest.run("systemctl", "disable", SERVICE)
    guest.run("systemctl", "start", SERVICE)
    machine.install(OLD)
    assert (machine.show("ActiveState"), machine.starts()) == ("active", starts + 2)
    # a config that the new version refuses does not leave the package half installed
    guest.run("sh", "-c", f"echo nonsense: true >>{CONFIG}")
    told = machine.install(NEW)
    assert "perceptd.service did not start: see journalctl -u perceptd.service -n 50" in told
    assert guest.run("dpkg", "--audit").stdout == ""


def test_removal_keeps_config_and_state_and_another_installation_starts_as_before(machine: Machine) -> None:
    machine.install(OLD)
    machine.start()
    kept = machine.kept()
    assert "perceptd/demo/availability" in machine.retained()
    told = machine.apt("remove", "perceptd")
    assert "removed what the MQTT broker at 127.0.0.1:1883 retained of node demo\n" in told
    assert machine.retained() == []
    assert not machine.exists("/opt/perceptd") and not machine.exists("/usr/bin/perceptd")
    assert [machine.show("ActiveState", unit) for unit in UNITS] == ["inactive"] * 4
    assert not machine.exists("/run/perceptd") and not machine.exists("/run/perceptd-package")
    assert {**machine.kept(), "enabled": ""} == {**kept, "enabled": ""}
    machine.install(NEW)
    machine.check_whole(NEW)
    assert machine.kept() == kept


def test_a_purge_leaves_nothing_and_another_installation_begins_anew(machine: Machine) -> None:
    guest = machine.guest
    for _ in range(2):
        assert "To set perceptd up, run: sudo perceptd setup" in machine.install(OLD)
        machine.start()
        guest.run("mkdir", "-p", f"/etc/systemd/system/{SERVICE}.d", "/var/lib/perceptd-bundles", "/var/cache/perceptd")
        guest.write(f"/etc/systemd/system/{SERVICE}.d/override.conf", "[Service]\nNice=1\n")
        told = machine.apt("purge", "perceptd")
        data = f"/etc/perceptd {STATE} {PAGE_STATE} /var/lib/perceptd-bundles /var/cache/perceptd"
        assert f"removed with it: {data}\n" in told
        assert machine.retained() == []
        assert [guest.run("getent", "passwd", user, check=False).returncode for user in USERS] == [2, 2]
        groups = (*USERS, "apex")
        assert [guest.run("getent", "group", group, check=False).returncode for group in groups] == [2, 2, 2]
        pruned = [
            part
            for path in ("/src", "/proc", "/sys", "/tmp", "/run", "/var/log", REPOSITORY, "/etc/apt")
            for part in ("-path", path, "-prune", "-o")
        ]
        pruned += ["-path", "/var/lib/apt", "-prune", "-o", "-path", "/var/cache/apt", "-prune", "-o"]
        assert guest.run("find", "/", *pruned, "-iname", "*perceptd*", "-print").stdout == ""
        assert machine.show("LoadState") == "not-found"


def test_going_back_sets_aside_what_a_later_version_has_written(machine: Machine, packages: Packages) -> None:
    guest = machine.guest
    packages.add(LATER_VERSION, LATER)
    guest.run("apt-get", "update")
    machine.install(LATER_VERSION)
    machine.start()
    guest.run("systemctl", "stop", "mosquitto")  # events wait in the outbox
    known = {file.path: file for file in STATE_FILES}
    unknown = [path for path in files_of(machine) if path not in known]
    assert unknown == [], "each file of the state directory has a version"
    written = [file for file in STATE_FILES if machine.exists(f"{STATE}/{file.path}")]
    assert len(written) >= 6

    machine.install(OLD)
    guest.run("systemctl", "start", "mosquitto")
    names = [f"{file.renamed}.version-{file.newest + 1}" for file in written]
    assert machine.health()["state_problem"] == (
        f"set aside, because a later version of perceptd has written them: {', '.join(names)}"
    )
    assert all(machine.exists(f"{STATE}/{name}") for name in names)
    log = guest.run("journalctl", "--quiet", "--output=cat", f"--unit={SERVICE}").stdout
    for file in written:
        assert log.count(f"; it is now {STATE}/{file.renamed}.version-{file.newest + 1}\n") == 1
    assert "all streams are paused and muted until they are resumed" in log
    machine.send("resume", "{}")
    machine.check_whole(OLD)
    assert guest.run("perceptd", "page", "--config", CONFIG, "--link").stdout.startswith("http://localhost:8099/link/")
    assert machine.exists(f"{PAGE_STATE}/accounts.json.version-2")
    # forward again, with the file of before
    guest.run("systemctl", "stop", SERVICE)
    machine.install(LATER_VERSION)
    guest.run("mv", f"{STATE}/device_id.version-2", f"{STATE}/device_id")
    guest.run("systemctl", "start", SERVICE)
    machine.check_whole(LATER_VERSION)


def files_of(machine: Machine) -> list[str]:
    """Return the files of the state directory, but for those of bundles and clips, and what SQLite keeps beside."""
    found = machine.guest.run("find", STATE, "-type", "f", "-printf", "%P\n").stdout.split()
    beside = ("-wal", "-shm", "-journal")
    others = ("models/slots/", "models/taught/slots/", "models/tuf/", "history/clips/")
    return [path for path in found if not path.startswith(others) and not path.endswith(beside)]
