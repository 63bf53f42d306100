"""The installed service from end to end: a real systemd in a guest, its sandbox, a real broker, the demo clip."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.mosquitto import Mosquitto, Subscriber, free_port, wait_until
from tests.helpers.nspawn import Guest, installed_system

SERVICE = "perceptd.service"
CONFIG = "/etc/perceptd/config.yaml"
START_S = 30.0
RECOVER_S = 15.0
STOP_S = 5.0
WATCHDOG_S = 6.0
HOLD = Path(__file__).parents[1] / "helpers" / "hold_thread.py"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    logs = tmp_path_factory.mktemp("guest")
    with Guest(installed_system(logs / "install.log"), logs / "guest.log") as running:
        yield running


class Service:
    """The service in the guest, as `systemctl` and `journalctl` show it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._since_s = time.time()
        shipped = guest.run("cat", CONFIG).stdout
        self.settings = yaml.safe_load(shipped)

    def start(self, **settings: object) -> None:
        """Start it with the installed config but for `settings`; returns once it is ready."""
        self.guest.write(CONFIG, yaml.safe_dump({**self.settings, **settings}))
        self.guest.run("systemctl", "restart", SERVICE, timeout_s=START_S)

    def show(self, *properties: str) -> list[str]:
        return [self.guest.run("systemctl", "show", SERVICE, "-P", name).stdout.strip() for name in properties]

    @property
    def pid(self) -> int:
        return int(self.show("MainPID")[0])

    @property
    def log(self) -> str:
        command = ("journalctl", f"--since=@{self._since_s:.6f}", "--unit", SERVICE, "--output=cat", "--no-pager")
        return self.guest.run(*command).stdout


@pytest.fixture
def service(guest: Guest) -> Iterator[Service]:
    installed = Service(guest)
    before = guest.run("cat", CONFIG).stdout
    yield installed
    guest.run("systemctl", "stop", SERVICE)
    guest.run("systemctl", "reset-failed", SERVICE, check=False)  # one that has not failed is no longer known
    guest.write(CONFIG, before)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running


@pytest.fixture
def recognitions(broker: Mosquitto) -> Iterator[Callable[[], int]]:
    """How many recognitions have been heard."""
    with Subscriber(broker, "perceptd/demo/demo/recognition") as subscriber:
        yield lambda: len(subscriber.heard)


def kill(service: Service, signal_name: str) -> None:
    service.guest.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal_name}", SERVICE)


@contextlib.contextmanager
def held(service: Service, thread: str) -> Iterator[None]:
    """One thread of the daemon stands still while the block lasts, unless it dies."""
    command = service.guest.command("python3", "-c", HOLD.read_text(), str(service.pid), thread)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def wait_for_another(service: Service, pid: int, recognitions: Callable[[], int]) -> None:
    """Wait until the service recognises in another process, within the time it promises."""
    deadline = time.monotonic() + RECOVER_S
    wait_until(lambda: service.pid not in (0, pid), "another process", RECOVER_S)
    heard = recognitions()
    wait_until(lambda: recognitions() > heard, "it recognises again", deadline - time.monotonic())


def test_it_is_ready_recognises_in_its_sandbox_and_stops(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int]
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions of the demo clip")
    wait_until(lambda: service.show("StatusText") == ["recognising: 1 stream"], "its status in words")
    assert service.show("ActiveState", "NRestarts", "User") == ["active", "0", "perceptd"]
    state = service.guest.run("stat", "--format=%U %a", "/var/lib/perceptd").stdout
    assert state == "perceptd 700\n"
    privileges = service.guest.run("cat", f"/proc/{service.pid}/status").stdout
    assert "CapBnd:\t0000000000000000\n" in privileges
    assert "NoNewPrivs:\t1\n" in privileges
    began = time.monotonic()
    service.guest.run("systemctl", "stop", SERVICE)
    assert time.monotonic() - began < STOP_S
    assert service.show("ActiveState", "Result") == ["inactive", "success"]


@pytest.mark.parametrize("signal_name", ["KILL", "STOP"])
def test_it_is_back_after_a_signal(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int], signal_name: str
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions")
    pid = service.pid
    kill(service, signal_name)
    wait_for_another(service, pid, recognitions)


@pytest.mark.parametrize("thread", ["encode-audio", "fusion", "mqtt"])
def test_it_is_back_after_one_thread_hangs_and_says_which(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int], thread: str
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions")
    pid = service.pid
    with held(service, thread):
        wait_for_another(service, pid, recognitions)
    log = service.log
    assert "Watchdog" in log
    assert f"{thread} has hung for" in log or "most recent call first" in log


def test_neither_a_missing_broker_nor_a_missing_camera_starves_the_watchdog(service: Service) -> None:
    camera = {"camera": {"device": "/dev/video9"}, "text": {"enabled": False}}
    streams = {"demo": service.settings["streams"]["demo"], "door": camera}
    service.start(mqtt={"port": free_port()}, streams=streams)
    pid = service.pid
    time.sleep(2.5 * WATCHDOG_S)
    assert service.show("MainPID", "NRestarts", "ActiveState") == [str(pid), "0", "active"]
    status = service.show("StatusText")[0]
    assert status.startswith("recognising: 2 streams; door/camera: ")
    assert "there is no /dev/video9" in status
    assert status.endswith("; no MQTT broker")


def test_a_config_that_cannot_work_fails_once_and_says_why(service: Service) -> None:
    with pytest.raises(AssertionError, match="Job for perceptd"):
        service.start(nod="x")
    time.sleep(2.5)  # more than RestartSec
    assert service.show("ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "78"]
    assert f"{CONFIG}:" in service.log
    assert "nod: unknown key; did you mean 'node'?" in service.log


def test_a_replay_that_ends_is_not_started_again(service: Service, broker: Mosquitto) -> None:
    replay = {**service.settings["streams"]["demo"]["replay"], "loop": False, "pace": "fast"}
    service.start(mqtt={"port": broker.port}, streams={"demo": {"replay": replay}})
    wait_until(lambda: service.show("ActiveState") == ["inactive"], "its end", 60)
    assert service.show("Result", "NRestarts", "ExecMainStatus") == ["success", "0", "0"]


def test_installing_again_keeps_the_config_which_others_cannot_read(guest: Guest) -> None:
    assert guest.run("stat", "--format=%U:%G %a", CONFIG).stdout == "root:perceptd 640\n"
    guest.run("mkdir", "/tmp/checkout")
    guest.run("sh", "-c", "cp -R /opt/perceptd/* /tmp/checkout && echo '# mine' >>" + CONFIG)
    guest.run("/tmp/checkout/scripts/install")
    assert guest.run("tail", "-n1", CONFIG).stdout == "# mine\n"
    assert guest.run("stat", "--format=%U:%G %a", CONFIG).stdout == "root:perceptd 640\n"
    guest.run("perceptd", "check-config", CONFIG)
