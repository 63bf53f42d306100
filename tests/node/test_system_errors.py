"""A running daemon without descriptors, and with a loop that hangs: real processes, a real broker."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.shortages import few_descriptors
from tests.node.test_daemon import parsed, write_clip

HOLD = Path(__file__).parents[1] / "helpers" / "hold_thread.py"


@pytest.fixture
def settings(tmp_path: Path, broker: Mosquitto) -> Callable[..., dict]:
    write_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.mp4", 60)

    def make(node: str) -> dict:
        return {
            "node": node,
            "bundle": str(tmp_path / "bundle"),
            "health": {"every_s": 1.0},
            "mqtt": {"port": broker.port},
            "streams": {"s": {"replay": {"file": str(tmp_path / "clip.mp4")}}},
        }

    return make


@contextmanager
def held(pid: int, thread: str) -> Iterator[None]:
    """Stop one thread of a process during the block."""
    command = [sys.executable, str(HOLD), str(pid), thread]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def healths(subscriber: Subscriber) -> list[dict]:
    return parsed(subscriber.heard.copy(), "health")


def is_well(subscriber: Subscriber) -> bool:
    """Return whether the latest health is good, and names no trouble."""
    return [(each["status"], each["trouble"]) for each in healths(subscriber)][-1:] == [("ok", None)]


def sequences(subscriber: Subscriber) -> list[int]:
    return [event["sequence"] for event in parsed(subscriber.heard.copy(), "event")]


def test_without_descriptors_for_a_while_every_event_arrives_and_all_works_afterwards(
    tmp_path: Path, broker: Mosquitto, settings: Callable[..., dict]
) -> None:
    with Subscriber(broker, "perceptd/full/#") as subscriber, DaemonProcess(settings("full"), tmp_path) as daemon:
        wait_until(lambda: len(sequences(subscriber)) >= 4, "events")
        with few_descriptors(daemon.process.pid):
            wait_until(lambda: "Too many open files" in daemon.log, "the recording cannot be opened again")
            during = len(sequences(subscriber))
            wait_until(lambda: len(sequences(subscriber)) > during, "the open event ends")
        after = len(sequences(subscriber))
        wait_until(lambda: len(sequences(subscriber)) >= after + 4, "events come again")
        # what came late on a busy machine makes it degraded for a while
        wait_until(lambda: is_well(subscriber), "all is well")
        health = healths(subscriber)[-1]
        assert daemon.stop() == 0
        subscriber.wait_offline("full")
    heard = sequences(subscriber)
    assert sorted(set(heard)) == list(range(1, heard[-1] + 1)), "every event has arrived"
    assert health["mqtt"]["outbox"]["coalesced"] == 0


def test_a_loop_that_hangs_makes_the_health_failed_until_it_goes_on(
    tmp_path: Path, broker: Mosquitto, settings: Callable[..., dict]
) -> None:
    with Subscriber(broker, "perceptd/held/health") as subscriber, DaemonProcess(settings("held"), tmp_path) as daemon:
        wait_until(lambda: is_well(subscriber), "it works")
        with held(daemon.process.pid, "outbox"):
            wait_until(lambda: healths(subscriber)[-1]["status"] == "failed", "it has failed")
            assert healths(subscriber)[-1]["trouble"].startswith("outbox has hung for")
        wait_until(lambda: is_well(subscriber), "it works again")
        assert "outbox has hung for" in daemon.log
