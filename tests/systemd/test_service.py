"""The installed service from end to end: a real systemd in a guest, its sandbox, a real broker, the demo clip."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from daemon import __version__
from tests.helpers.mosquitto import Mosquitto, Subscriber, free_port, wait_until
from tests.helpers.nspawn import Guest
from tests.helpers.promised import PromisedTime
from tests.helpers.publishing import Repository, another_version
from tests.helpers.recipes import recipe, write_pixels, write_recipe
from tests.helpers.webserver import WebServer

pytestmark = pytest.mark.xdist_group("guest")

a_part = pytest.mark.campaign("service-faults", part=2)

SERVICE = "perceptd.service"
CONFIG = "/etc/perceptd/config.yaml"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d"
INSTALLED = (
    "/etc/systemd/system/perceptd.service",
    "/etc/systemd/system/perceptd.socket",
    "/etc/systemd/system/perceptd-page.socket",
    "/etc/systemd/system/perceptd-page.service",
    "/etc/sysusers.d/perceptd.conf",
    "/etc/udev/rules.d/51-perceptd.rules",
)
START_S = 30.0
RECOVER_S = 15.0
STOP_S = 5.0
WATCHDOG_S = 6.0
# outside /opt/perceptd, which the tests of the removal expect to be gone
LIBRARY = "/usr/local/lib/libtestdelegate.so"

# mounts of systemd-nspawn and systemd, where only root can write
BOOKKEEPING = ("/run/host/", "/run/systemd/")

BUNDLES = "/var/lib/perceptd-bundles"

SHIPPED = Path(__file__).parents[2] / "models" / "digits"
HOLD = Path(__file__).parents[1] / "helpers" / "hold_thread.py"


class Service:
    """The service in the guest, as `systemctl` and `journalctl` show it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._since_s = time.time()
        shipped = guest.run("cat", CONFIG).stdout
        self.settings = yaml.safe_load(shipped)

    def start(self, **settings: object) -> None:
        """Start the service with the installed config changed by `settings`; return once it is ready."""
        self.guest.write(CONFIG, yaml.safe_dump({**self.settings, **settings}))
        self.guest.run("systemctl", "restart", SERVICE, timeout_s=START_S)

    def reload(self, **settings: object) -> None:
        """Let the service read the installed config again, changed by `settings`."""
        self.guest.write(CONFIG, yaml.safe_dump({**self.settings, **settings}))
        self.guest.run("systemctl", "reload", SERVICE)

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
    guest.run("systemctl", "reset-failed", SERVICE, check=False)  # fails for a service that has not failed
    guest.write(CONFIG, before)


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running


@pytest.fixture
def recognitions(broker: Mosquitto) -> Iterator[Callable[[], int]]:
    """A function that returns the number of received recognitions."""
    with Subscriber(broker, "perceptd/demo/demo/recognition") as subscriber:
        yield lambda: len(subscriber.heard)


def kill(service: Service, signal_name: str) -> None:
    service.guest.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal_name}", SERVICE)


@contextlib.contextmanager
def stopped_thread(service: Service, thread: str) -> Iterator[None]:
    """Stop one thread of the daemon during the block."""
    command = service.guest.command("python3", "-c", HOLD.read_text(), str(service.pid), thread)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def wait_for_restart(service: Service, pid: int, recognitions: Callable[[], int]) -> None:
    """Wait until the service recognises in another process, within the promised time."""
    taken = PromisedTime()
    wait_until(lambda: taken.elapsed_s() > RECOVER_S or service.pid not in (0, pid), "another process")
    heard = recognitions()
    wait_until(lambda: taken.elapsed_s() > RECOVER_S or recognitions() > heard, "it recognises again")
    assert taken.elapsed_s() <= RECOVER_S


def test_the_service_starts_recognises_in_its_sandbox_and_stops(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int]
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions of the demo clip")
    wait_until(lambda: service.show("StatusText") == ["recognising: 1 stream"], "its status text")
    assert service.show("ActiveState", "NRestarts", "User") == ["active", "0", "perceptd"]
    state = service.guest.run("stat", "--format=%U %a", "/var/lib/perceptd").stdout
    assert state == "perceptd 700\n"
    privileges = service.guest.run("cat", f"/proc/{service.pid}/status").stdout
    assert "CapBnd:\t0000000000000000\n" in privileges
    assert "NoNewPrivs:\t1\n" in privileges
    taken = PromisedTime()
    service.guest.run("systemctl", "stop", SERVICE)
    assert taken.elapsed_s() < STOP_S
    assert service.show("ActiveState", "Result") == ["inactive", "success"]


@a_part
@pytest.mark.parametrize("signal_name", ["KILL", "STOP"])
def test_the_service_restarts_after_a_signal(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int], signal_name: str
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions")
    pid = service.pid
    service.guest.run("touch", "/run/perceptd-events/kept")
    kill(service, signal_name)
    wait_for_restart(service, pid, recognitions)
    service.guest.run("test", "-e", "/run/perceptd-events/kept")  # so are the events that the broker had not yet


@a_part
@pytest.mark.parametrize("thread", ["encode-audio", "fusion", "mqtt"])
def test_the_service_restarts_when_a_thread_hangs_and_logs_its_name(
    service: Service, broker: Mosquitto, recognitions: Callable[[], int], thread: str
) -> None:
    service.start(mqtt={"port": broker.port})
    wait_until(recognitions, "recognitions")
    pid = service.pid
    with stopped_thread(service, thread):
        wait_for_restart(service, pid, recognitions)
    log = service.log
    assert "Watchdog" in log
    assert f"{thread} has hung for" in log or "most recent call first" in log


def test_a_reload_uses_a_good_config_in_the_same_process_and_refuses_a_bad_one(
    service: Service, broker: Mosquitto
) -> None:
    with Subscriber(broker, "perceptd/demo/+/recognition") as subscriber:
        service.start(mqtt={"port": broker.port})
        subscriber.wait_for("perceptd/demo/demo/recognition")
        pid, stream = service.pid, service.settings["streams"]["demo"]
        changed = {"mqtt": {"port": broker.port}, "streams": {"door": stream}}
        service.reload(**changed, colour="red")
        refusal = "the config was not reloaded: /etc/perceptd/config.yaml:"
        wait_until(lambda: refusal in service.show("StatusText")[0], "the status says why", START_S)
        service.reload(**changed)
        subscriber.wait_for("perceptd/demo/door/recognition")
        wait_until(lambda: service.show("StatusText") == ["recognising: 1 stream"], "its status text")
        wait_until(lambda: service.show("ActiveState") == ["active"], "systemd sees the end of the reload", START_S)
        assert service.show("MainPID", "NRestarts") == [str(pid), "0"]
        assert service.log.count("reading the config again") == 2
        assert "systemd could not be notified" not in service.log


NOT_YET = {"state": None, "encoders": {}}


def test_an_accelerator_runs_encoders_in_a_child_process_in_the_sandbox(
    service: Service, broker: Mosquitto, delegate: Path
) -> None:
    service.guest.copy(delegate, LIBRARY)
    with Subscriber(broker, "perceptd/demo/#") as subscriber:
        service.start(mqtt={"port": broker.port}, devices={"default": {"library": LIBRARY}}, health={"every_s": 1.0})

        def accelerator() -> dict:
            # the retained health of the run before, which had no accelerator, may come first
            heard = [json.loads(payload)["accelerators"] for payload in subscriber.payloads("perceptd/demo/health")]
            return heard[-1].get(delegate.name, NOT_YET) if heard else NOT_YET

        def used_encoders() -> list[str]:
            return [name for name, encoder in accelerator()["encoders"].items() if encoder["ran"] > 0]

        wait_until(lambda: accelerator()["state"] == "in_use", "it is in use", START_S)
        wait_until(
            lambda: {"audio", "image"} <= set(used_encoders()), "it has run the encoders of the demo clip", START_S
        )
        # on a busy machine an answer comes too late
        assert not any(count for kind, count in accelerator()["failures"].items() if kind not in ("hung", "slow"))
    children = f"/proc/{service.pid}/task/*/children"
    maps = f"grep -l {LIBRARY} $(for pid in $(cat {children}); do echo /proc/$pid/maps; done) /proc/{service.pid}/maps"

    def loaded_by() -> list[str]:
        return service.guest.run("sh", "-c", maps, check=False).stdout.split()

    wait_until(lambda: len(loaded_by()) == 1, "one process has loaded the library")
    assert f"/proc/{service.pid}/maps" not in loaded_by(), "and it is not the daemon"


@pytest.mark.parametrize("path", ["/var/lib/perceptd/libtestdelegate.so", "/etc/perceptd/libtestdelegate.so"])
def test_a_library_in_a_writable_directory_is_not_loaded(
    service: Service, broker: Mosquitto, delegate: Path, recognitions: Callable[[], int], path: str
) -> None:
    service.guest.run(
        "install", "-d", "-o", "perceptd", "-m", "700", "/var/lib/perceptd"
    )  # as the first start of the service does
    service.guest.copy(delegate, path)
    service.guest.run("chown", "perceptd:", path)
    service.start(mqtt={"port": broker.port}, devices={"default": {"library": path}})
    wait_until(lambda: f"{path} cannot be loaded" in service.log, "it reports that", START_S)
    wait_until(recognitions, "recognitions by the CPU")


def test_programs_run_only_from_directories_that_the_service_cannot_write(service: Service, broker: Mosquitto) -> None:
    service.start(mqtt={"port": broker.port})
    mounts = [line.split() for line in service.guest.run("cat", f"/proc/{service.pid}/mounts").stdout.splitlines()]
    options = {
        path: options.split(",") for _, path, _, options, *_ in mounts
    }  # of two mounts at the same path the upper one counts
    allowed = {path for path in options if "noexec" not in options[path]}
    assert {path for path in allowed if not path.startswith(BOOKKEEPING)} == {"/opt/perceptd", "/usr"}
    for path in ("/opt/perceptd", "/usr"):
        assert service.guest.run("stat", "--format=%U:%G %a", path).stdout == "root:root 755\n"


def test_the_service_is_in_the_groups_that_own_devices(guest: Guest) -> None:
    groups = guest.run("id", "--name", "--groups", "perceptd").stdout.split()
    assert set(groups) == {"perceptd", "video", "audio", "plugdev", "apex", "render"}


def test_installed_files_belong_to_root(guest: Guest) -> None:
    units = ("perceptd.service", "perceptd.socket", "perceptd-page.socket", "perceptd-page.service")
    assert guest.run("systemd-analyze", "verify", *units).stderr == ""
    for path in INSTALLED:
        assert guest.run("stat", "--format=%U:%G %a", path).stdout == "root:root 644\n"
    assert guest.run("ls", "-d", DROP_IN, check=False).returncode != 0, "this is no Jetson"


def test_the_drop_in_for_jetson_allows_the_gpu(service: Service) -> None:
    service.guest.run("mkdir", "-p", DROP_IN)
    service.guest.run("cp", "/opt/perceptd/systemd/jetson.conf", DROP_IN)
    service.guest.run("systemctl", "daemon-reload")
    allowed = service.guest.run("systemctl", "show", SERVICE, "-P", "DeviceAllow").stdout
    verified = service.guest.run("systemd-analyze", "verify", "perceptd.service").stderr
    service.guest.run("rm", "-r", DROP_IN)
    service.guest.run("systemctl", "daemon-reload")
    assert verified == ""
    assert "/dev/nvmap rw\n" in allowed
    assert "char-*.ga10b rw\n" in allowed
    assert "char-usb_device rw\n" in allowed, "devices allowed by the unit remain allowed"


def test_a_missing_broker_and_a_missing_camera_do_not_trigger_the_watchdog(service: Service) -> None:
    camera = {"camera": {"device": "/dev/video9"}, "text": {"enabled": False}}
    streams = {"demo": service.settings["streams"]["demo"], "door": camera}
    service.start(mqtt={"port": free_port()}, streams=streams)
    pid = service.pid
    time.sleep(1.5 * WATCHDOG_S)
    assert service.show("MainPID", "NRestarts", "ActiveState") == [str(pid), "0", "active"]
    status = service.show("StatusText")[0]
    assert status.startswith("recognising: 2 streams; door/camera: ")
    assert "there is no /dev/video9" in status
    assert "; no MQTT broker; no connection to the MQTT broker at 127.0.0.1:" in status


def test_an_invalid_config_fails_once_and_logs_the_reason(service: Service) -> None:
    with pytest.raises(AssertionError, match="Job for perceptd"):
        service.start(nod="x")
    time.sleep(2.5)  # more than RestartSec
    assert service.show("ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "78"]
    assert f"{CONFIG}:" in service.log
    assert "nod: unknown key; did you mean 'node'?" in service.log
    assert "nod: unknown key; did you mean 'node'?" in service.show("StatusText")[0]


def test_the_service_is_not_restarted_after_a_replay_has_ended(service: Service, broker: Mosquitto) -> None:
    replay = {**service.settings["streams"]["demo"]["replay"], "loop": False, "pace": "fast"}
    service.start(mqtt={"port": broker.port}, streams={"demo": {"replay": replay}})
    wait_until(lambda: service.show("ActiveState") == ["inactive"], "its end")
    assert service.show("Result", "NRestarts", "ExecMainStatus") == ["success", "0", "0"]


def test_installing_again_keeps_the_config_and_says_the_versions_and_that_there_is_no_broker(service: Service) -> None:
    guest, port = service.guest, free_port()
    assert guest.run("stat", "--format=%U:%G %a", CONFIG).stdout == "root:perceptd 640\n"
    guest.run("mkdir", "/tmp/checkout")
    guest.run("sh", "-c", "cp -R /opt/perceptd/* /tmp/checkout")
    guest.run("sed", "-i", 's/^__version__ = .*/__version__ = "0.1.2"/', "/opt/perceptd/daemon/__init__.py")
    guest.write(CONFIG, text := yaml.safe_dump({**service.settings, "mqtt": {"port": port}}))
    done = guest.run("/tmp/checkout/scripts/install")
    assert f"installing perceptd {__version__}; 0.1.2 is installed now\n" in done.stdout
    assert f"perceptd {__version__} is installed; it was 0.1.2 before.\n" in done.stdout
    assert f"no MQTT broker answers at 127.0.0.1:{port}: Connection refused." in done.stderr
    assert guest.run("cat", CONFIG).stdout == text
    assert guest.run("stat", "--format=%U:%G %a", CONFIG).stdout == "root:perceptd 640\n"
    guest.run("perceptd", "check-config", CONFIG)


def test_the_service_runs_a_bundle_that_root_has_got(service: Service, broker: Mosquitto, tmp_path: Path) -> None:
    guest, model = service.guest, write_pixels()
    (tmp_path / "pixels.tflite").write_bytes(model)
    directory = write_recipe(tmp_path / "pixels", recipe(model), {"bright": 1.0}).parent
    guest.run("mkdir", "-p", "/srv/models", "/opt/perceptd/models/pixels/selftest")
    guest.copy(tmp_path / "pixels.tflite", "/srv/models/pixels.tflite")
    for name in ("recipe.yaml", "selftest/cases.yaml", "selftest/white.png"):
        guest.copy(directory / name, f"/opt/perceptd/models/pixels/{name}")
    get = ("sh", "-c", "umask 077 && perceptd bundle get pixels --from /srv/models")
    done = guest.run(*get)
    assert done.stdout.startswith(f"pixels@1.0.0: made in {BUNDLES}/pixels\nIt has passed its self-test as the service")
    assert f"\n  bundle: {BUNDLES}/pixels\n" in done.stdout
    for path, mode in ((BUNDLES, "755"), (f"{BUNDLES}/pixels", "755"), (f"{BUNDLES}/pixels/bundle.yaml", "644")):
        assert guest.run("stat", "--format=%U:%G %a", path).stdout == f"root:root {mode}\n"
    with Subscriber(broker, "perceptd/demo/#") as subscriber:
        service.start(bundle=f"{BUNDLES}/pixels", mqtt={"port": broker.port})
        wait_until(lambda: "pixels@1.0.0" in bundles_of(subscriber), "the bundle recognises")
    assert guest.run(*get).stdout.startswith(f"pixels@1.0.0: up to date in {BUNDLES}/pixels\n")
    guest.run("chmod", "700", BUNDLES)
    found = guest.run("perceptd", "check-config", CONFIG, check=False)
    assert (found.returncode, found.stdout) == (78, "")
    assert f"the service's user perceptd may not read {BUNDLES}/pixels, because of {BUNDLES}; " in found.stderr
    assert guest.run(*get).returncode == 0, "it gives everybody the right to read again"
    guest.run("perceptd", "check-config", CONFIG)


def test_check_config_as_root_tests_what_the_user_of_the_service_may_read(service: Service) -> None:
    guest, password = service.guest, "/etc/perceptd/secret"
    guest.write(password, "secret\n")
    guest.run("chmod", "600", password)
    guest.write(CONFIG, yaml.safe_dump({**service.settings, "mqtt": {"password_file": "secret"}}))
    for path in (CONFIG, password):
        guest.run("chown", "root:root", path)
    found = guest.run("sh", "-c", f"cd / && perceptd check-config 2>&1; chown root:perceptd {CONFIG}").stdout
    assert f"using {CONFIG}\n" in found
    problem = f"mqtt.password_file: the service's user perceptd may not read {password}; sudo chgrp perceptd {password}"
    assert problem in found
    assert "good" not in found


def test_a_person_who_may_not_read_the_config_is_told_how_to_get_an_account(guest: Guest) -> None:
    done = guest.run("setpriv", "--reuid=1000", "--clear-groups", "perceptd", "send", "pause", check=False)
    assert done.returncode == 78
    first, second, third, *how = done.stderr.splitlines()
    assert first == f"using {CONFIG}"
    assert second.startswith(f"{CONFIG}: cannot be read: Permission denied")
    assert third == "Only root and the service may read it."
    assert "/.config/perceptd/config.yaml:" in how[0]
    assert "Do not join the group perceptd" in how[-1]


def test_the_service_replaces_its_bundle_in_its_sandbox(service: Service, broker: Mosquitto, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "publisher").init()
    repository.add(another_version(SHIPPED, "9.0.0", tmp_path / "newer"))
    repository.publish()
    service.guest.write("/etc/perceptd/root.json", repository.root.read_text())
    with WebServer(repository.public).serving() as server, Subscriber(broker, "perceptd/demo/#") as subscriber:
        models = {"source": server.url, "root": "/etc/perceptd/root.json", "automatic": False}
        service.start(mqtt={"port": broker.port}, models=models)
        broker.publish("perceptd/demo/command/models_install", b'{"version": "9.0.0"}')
        wait_until(lambda: "digits@9.0.0" in bundles_of(subscriber), "the new bundle recognises", timeout_s=60)
        assert service.show("ActiveState", "NRestarts") == ["active", "0"]
        service.guest.run("systemctl", "restart", SERVICE, timeout_s=START_S)
        count = len(bundles_of(subscriber))
        wait_until(lambda: len(bundles_of(subscriber)) > count + 30, "it recognises again")
        assert set(bundles_of(subscriber)[count + 1 :]) == {"digits@9.0.0"}
    modes = service.guest.run("stat", "--format=%U %a", "/var/lib/perceptd/models").stdout
    assert modes == "perceptd 700\n"


def bundles_of(subscriber: Subscriber) -> list[str]:
    heard = [message.payload for message in subscriber.heard if message.topic.endswith("/recognition")]
    return [json.loads(payload)["bundle"] for payload in heard]
