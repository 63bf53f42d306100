"""Removing the service, in the guest of the other tests and after them: the last test leaves nothing of perceptd."""

import subprocess
from collections.abc import Iterator

import pytest
import yaml

from daemon import __version__
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.nspawn import Guest
from tests.systemd.test_service import BUNDLES, CONFIG, DROP_IN, INSTALLED, SERVICE, START_S

pytestmark = pytest.mark.xdist_group("guest")

PASSWORD = "/etc/perceptd/mqtt-password"
CERTIFICATE = "/etc/perceptd/certificates/ca.pem"
DOWNLOADS = "/var/cache/perceptd"
PAGE = "/var/lib/perceptd-page"
PAGE_DROP_IN = "/etc/systemd/system/perceptd-page.socket.d"
SHARED_GROUPS = ("video", "audio", "plugdev", "render")
RULES_OF_CORAL = "/etc/udev/rules.d/65-apex.rules"
TOPICS = {
    "perceptd/demo/availability",
    "perceptd/demo/health",
    "perceptd/demo/models",
    "perceptd/demo/demo/state",
    "perceptd/demo/demo/states",
    "homeassistant/device/perceptd_demo/config",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker that accepts the user demo by password alone, and clients that name no user."""
    passwords = tmp_path_factory.mktemp("broker") / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "demo", "secret"], check=True)
    with Mosquitto(more=[f"password_file {passwords}"]) as running:
        yield running


def exists(guest: Guest, path: str) -> bool:
    return guest.run("ls", "-d", path, check=False).returncode == 0


def has_user(guest: Guest) -> tuple[bool, bool]:
    """Return whether one of the users, and whether one of the groups, perceptd and perceptd-page exists."""
    names = ("perceptd", "perceptd-page")
    found = [
        any(guest.run("getent", table, name, check=False).returncode == 0 for name in names)
        for table in ("passwd", "group")
    ]
    return found[0], found[1]


def has_apex(guest: Guest) -> bool:
    return guest.run("getent", "group", "apex", check=False).returncode == 0


def owners(guest: Guest, path: str) -> str:
    return guest.run("stat", "--format=%U:%G %a", path).stdout.strip()


def test_removal_keeps_config_and_state_and_another_installation_uses_them(guest: Guest, broker: Mosquitto) -> None:
    settings = yaml.safe_load(guest.run("cat", CONFIG).stdout)
    guest.write(CONFIG, config := yaml.safe_dump({**settings, "mqtt": {"port": broker.port, "username": "demo"}}))
    guest.run("install", "-m", "600", "/dev/null", PASSWORD)
    guest.run("install", "-D", "-o", "root", "-g", "perceptd", "-m", "640", "/dev/null", CERTIFICATE)
    guest.write(PASSWORD, "secret\n")
    guest.run("mkdir", "-p", DROP_IN)
    guest.write(f"{DROP_IN}/override.conf", f"[Service]\nLoadCredential=mqtt-password:{PASSWORD}\n")
    guest.run("mkdir", "-p", PAGE_DROP_IN)
    guest.write(f"{PAGE_DROP_IN}/override.conf", "[Socket]\nBacklog=32\n")
    guest.run("systemctl", "daemon-reload")
    with Subscriber(broker) as subscriber:
        guest.run("systemctl", "enable", "--now", SERVICE, timeout_s=START_S)
        for topic in TOPICS:
            subscriber.wait_for(topic)
        guest.run("install", "-D", "-m", "644", "/dev/null", f"{BUNDLES}/home/bundle.yaml")
        guest.run("mkdir", "-p", DOWNLOADS)
        # hard links, so that the second installation needs no packages
        guest.run("cp", "-al", "/opt/perceptd/.venv", "/var/tmp/venv")
        guest.write(RULES_OF_CORAL, 'SUBSYSTEM=="apex", GROUP="apex"\n')
        done = guest.run("/opt/perceptd/scripts/install", "--remove")
        for topic in TOPICS:
            wait_until(lambda topic=topic: subscriber.payloads(topic)[-1] == b"", f"{topic} is empty")
    kept = f"kept /etc/perceptd /var/lib/perceptd {PAGE} {BUNDLES} {DOWNLOADS} {DROP_IN} {PAGE_DROP_IN}"
    assert f"removed what the MQTT broker at 127.0.0.1:{broker.port} retained of node demo\n" in done.stdout
    assert f"perceptd {__version__} is removed.\n{kept}; scripts/install --purge removes them\n" in done.stdout
    assert has_user(guest) == (False, False)
    assert all(guest.run("getent", "group", group).stdout for group in SHARED_GROUPS)
    assert has_apex(guest), "a udev rule of another program names the group"
    guest.run("rm", RULES_OF_CORAL)
    gone = (
        *INSTALLED,
        "/opt/perceptd",
        "/usr/local/bin/perceptd",
        "/run/perceptd",
        f"/etc/systemd/system/multi-user.target.wants/{SERVICE}",
    )
    assert [path for path in gone if exists(guest, path)] == []
    assert guest.run("cat", CONFIG).stdout == config
    assert owners(guest, f"{BUNDLES}/home/bundle.yaml") == "root:root 644"
    assert guest.run("find", "/etc/perceptd", "/var/lib/perceptd", PAGE, "!", "-user", "root").stdout == ""
    assert guest.run("find", "/etc/perceptd", "/var/lib/perceptd", PAGE, "!", "-group", "root").stdout == ""

    guest.run("sh", "-c", "mkdir /opt/perceptd && mv /var/tmp/venv /opt/perceptd/.venv")
    done = guest.run("/src/scripts/install")
    assert f"perceptd {__version__} is installed.\n" in done.stdout
    assert "no MQTT broker" not in done.stderr
    assert (owners(guest, CONFIG), owners(guest, PASSWORD)) == ("root:perceptd 640", "root:root 600")
    assert (owners(guest, CERTIFICATE), owners(guest, "/var/lib/perceptd")) == (
        "root:perceptd 640",
        "perceptd:perceptd 700",
    )


def test_a_purge_removes_everything_and_names_what_a_broker_that_is_away_retains(
    guest: Guest, broker: Mosquitto
) -> None:
    broker.kill()
    guest.run("sh", "-c", "mv /var/lib/perceptd /srv/state && ln -s /srv/state /var/lib/perceptd")
    done = guest.run("/src/scripts/install", "--purge")
    assert f"no connection to the MQTT broker at 127.0.0.1:{broker.port}: Connection refused" in done.stderr
    assert f"removed with it: /etc/perceptd /var/lib/perceptd {PAGE} {BUNDLES} {DOWNLOADS}\n" in done.stdout
    assert {f"  {topic}" for topic in TOPICS} <= set(done.stderr.splitlines())
    assert has_user(guest) == (False, False)
    assert all(guest.run("getent", "group", group).stdout for group in SHARED_GROUPS)
    assert not has_apex(guest)
    assert guest.run("ls", "-A", "/srv/state").stdout == ""
    others = ("/src", "/proc", "/sys", "/tmp", "/run", "/var/log")
    pruned = [part for path in others for part in ("-path", path, "-prune", "-o")]
    assert guest.run("find", "/", *pruned, "-name", "*perceptd*", "-print").stdout == ""
    assert (
        guest.run("/src/scripts/install", "--purge").stdout
        == "perceptd was not installed; what was left of it is removed.\n"
    )


def test_wrong_usage_is_refused(guest: Guest) -> None:
    done = guest.run("/src/scripts/install", "--delete", check=False)
    assert (done.returncode, done.stdout) == (64, "")
    purged = f"/etc/perceptd, /var/lib/perceptd, {PAGE}, {BUNDLES} and {DOWNLOADS}"
    assert f"scripts/install --purge     remove it with {purged}" in done.stderr
