"""SIGHUP: a service reads its config again, in the same process; a program with a terminal stops."""

import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.daemon import SERVICE, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of
from tests.node import test_daemon
from tests.node.test_daemon import parsed, write_clip

config, material = test_daemon.config, test_daemon.material
Config = Callable[..., dict]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


class Service:
    """A daemon without a terminal, and what it publishes."""

    def __init__(self, daemon: DaemonProcess, subscriber: Subscriber, node: str) -> None:
        self.daemon, self.subscriber, self.node = daemon, subscriber, node

    def reload(self) -> None:
        self.daemon.process.send_signal(signal.SIGHUP)

    def health(self) -> dict:
        return (parsed(self.subscriber.heard.copy(), "health") or [{}])[-1]

    def wait_for_recognitions(self, stream: str = "s") -> None:
        topic = f"perceptd/{self.node}/{stream}/recognition"
        self.subscriber.wait_for(topic, len(self.subscriber.payloads(topic)) + 3)

    def reload_and_wait(self) -> None:
        """Reload, and wait until another node runs: each has an instance of its own."""
        before = self.health()["instance"]
        self.reload()
        wait_until(lambda: self.health()["instance"] != before, "another node")

    def started(self) -> list[str]:
        """Return the labels of the events that have started."""
        return [e["label"] for e in parsed(self.subscriber.heard.copy(), "event") if e["phase"] == "start"]

    def ends(self) -> list[str]:
        return [e["ended_by"] for e in parsed(self.subscriber.heard.copy(), "event") if e["phase"] == "end"]


@contextmanager
def service(
    settings: dict, directory: Path, broker: Mosquitto, *arguments: str, prefix: Sequence[str] = SERVICE
) -> Iterator[Service]:
    node = settings["node"]
    with (
        Subscriber(broker, f"perceptd/{node}/#") as subscriber,
        DaemonProcess(settings, directory, *arguments, prefix=prefix) as daemon,
    ):
        running = Service(daemon, subscriber, node)
        running.wait_for_recognitions()
        subscriber.wait_for(f"perceptd/{node}/health")
        yield running


def copies_of_models(daemon: DaemonProcess) -> int:
    """Return how many models the daemon has in memory. Other shared memory counts too, as that of a child process."""
    links = [descriptor.readlink() for descriptor in Path(f"/proc/{daemon.process.pid}/fd").iterdir()]
    return sum("memfd:perceptd" in str(link) for link in links)


def is_checking(daemon: DaemonProcess) -> bool:
    return bool(children_of(daemon.process.pid, "check_reload"))


def test_a_good_config_is_used_in_the_same_process_and_a_bad_one_is_refused(
    tmp_path: Path, broker: Mosquitto, config: Config
) -> None:
    # its last label lasts, so an event is open whenever the config is read again
    write_clip(tmp_path / "clip.mp4", 30, passages=[("dark", 15), ("bright", 3_600)])
    settings = config("again", file=str(tmp_path / "clip.mp4"))
    (tmp_path / "root.json").write_text("{}")
    settings["models"] = {"source": "http://127.0.0.1:9", "root": str(tmp_path / "root.json"), "automatic": False}
    port = settings["mqtt"].pop("port")
    with service(settings, tmp_path, broker, "--broker", f"127.0.0.1:{port}") as running:
        daemon, stream = running.daemon, settings["streams"]["s"]
        models = copies_of_models(daemon)
        daemon.write({**settings, "log_level": "debug", "streams": {"door": {**stream, "colour": "red"}}})
        running.reload()
        wait_until(lambda: "colour" in (running.health()["reload_problem"] or ""), "the reason is in health")
        assert "the config cannot be used, the daemon goes on with the one of before: " in daemon.log
        wait_until(lambda: "bright" in running.started(), "an event that lasts")
        daemon.write({**settings, "log_level": "warning", "streams": {"door": stream}})
        running.reload_and_wait()
        running.wait_for_recognitions("door")
        assert running.health()["reload_problem"] is None
        assert list(running.health()["streams"]) == ["door"]
        assert "beginning again with the changed config" in daemon.log
        assert "connected to the MQTT broker" not in daemon.log.rpartition("beginning again")[2], "the level counts"
        wait_until(lambda: "reload" in running.ends(), "the open event ends, now or from the outbox")
        wait_until(lambda: copies_of_models(daemon) == models, "the models of the node before are gone")
        assert daemon.stop() == 0


def test_a_node_that_cannot_be_started_now_is_started_later(tmp_path: Path, broker: Mosquitto, config: Config) -> None:
    runner = (*SERVICE, sys.executable, "-m", "tests.helpers.shortages")
    with service(config("later"), tmp_path, broker, prefix=runner) as running:
        running.daemon.process.send_signal(signal.SIGUSR2)
        running.reload()
        refused = "can't start new thread; the loop goes on"
        wait_until(lambda: refused in running.daemon.log, "there is no room for a thread")
        running.daemon.process.send_signal(signal.SIGUSR2)
        running.wait_for_recognitions()
        # what comes late on a busy machine makes it degraded for a while
        wait_until(lambda: running.health()["status"] == "ok", "all is well")
        assert running.health()["process"]["system_errors"] > 0
        assert running.daemon.stop() == 0


def test_signals_in_quick_succession_are_all_obeyed(tmp_path: Path, broker: Mosquitto, config: Config) -> None:
    settings = config("often")
    with (
        Subscriber(broker, "perceptd/often/#") as subscriber,
        DaemonProcess(settings, tmp_path, prefix=SERVICE) as daemon,
    ):
        running = Service(daemon, subscriber, "often")
        wait_until(lambda: catches(daemon.process.pid, signal.SIGHUP), "it handles signals, and is not ready")
        wait_until(lambda: running.reload() or is_checking(daemon), "the config is checked once the node runs")
        daemon.write({**settings, "streams": {"door": settings["streams"]["s"]}})
        running.reload()  # the check that runs may have read the config of before
        running.wait_for_recognitions("door")
        checks = daemon.log.count("reading the config again")
        running.reload()
        wait_until(lambda: daemon.log.count("reading the config again") > checks, "the config is checked once more")
        assert daemon.stop() == 0
        assert daemon.log.count("beginning again with the changed config") in (1, 2)
        subscriber.wait_offline("often")


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether the process has a handler for a signal of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (number - 1))


def test_the_window_of_a_program_is_closed(tmp_path: Path, broker: Mosquitto, config: Config) -> None:
    window, terminal = pty.openpty()
    with (
        Subscriber(broker, "perceptd/window/#") as subscriber,
        DaemonProcess(config("window"), tmp_path, prefix=("setsid", "--ctty"), stdin=terminal) as daemon,
    ):
        os.close(terminal)
        subscriber.wait_for("perceptd/window/s/recognition", 3)
        os.close(window)
        assert daemon.wait(60) == 0
        subscriber.wait_offline("window")
        assert "stopping" in daemon.log


def test_a_program_that_ignores_the_signal_goes_on(tmp_path: Path, broker: Mosquitto, config: Config) -> None:
    with (
        Subscriber(broker, "perceptd/nohup/#") as subscriber,
        DaemonProcess(config("nohup"), tmp_path, prefix=("nohup",)) as daemon,
    ):
        running = Service(daemon, subscriber, "nohup")
        running.wait_for_recognitions()
        running.reload()
        running.wait_for_recognitions()
        assert "reading the config again" not in daemon.log
        assert daemon.stop() == 0
